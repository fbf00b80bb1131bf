//! Endpoints: where a service's pods are, in the form that endpoint slices have taken the place of.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    check::value::{ip, label, port, qualified, required_one_of, subdomain},
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// How many addresses a row shows.
const SHOWN_MAX: usize = 3;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: |endpoints| {
        for subset in endpoints.items_mut("subsets") {
            for port in subset.items_mut("ports") {
                port.set_empty("protocol", "TCP");
            }
        }
    },
    validate,
    warnings,
    columns: &[
        NAME,
        Column::new(
            "Endpoints",
            "string",
            "The first addresses that are ready.",
            |endpoints, _| shown(endpoints).into(),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(endpoints: &Value, errors: &mut ErrorList) {
    let list = Path::new("subsets");
    for (index, subset) in endpoints.items("subsets").iter().enumerate() {
        let path = list.index(index);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|list| subset.items(list).is_empty()) {
            let message = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required(&path, message));
        }
        for name in lists {
            let list = path.child(name);
            for (index, item) in subset.items(name).iter().enumerate() {
                address(item, &list.index(index), errors);
            }
        }
        ports(subset.items("ports"), &path.child("ports"), errors);
    }
}

fn address(address: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (text, text_path) = (address.text("ip"), path.child("ip"));
    ip(text, &text_path, errors);
    let hostname = address.text("hostname");
    if !hostname.is_empty() {
        label(hostname, &path.child("hostname"), errors);
    }
    if address.has("nodeName") {
        subdomain(address.text("nodeName"), &path.child("nodeName"), errors);
    }
    errors.extend(names::special_ip(&text_path, text));
}

fn ports(ports: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    for (index, item) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = item.text("name");
        if !name.is_empty() {
            label(name, &path.child("name"), errors);
        } else if ports.len() > 1 {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        port(
            item.whole("port").unwrap_or_default(),
            &path.child("port"),
            errors,
        );
        required_one_of(
            item.text("protocol"),
            &["SCTP", "TCP", "UDP"],
            &path.child("protocol"),
            errors,
        );
        if item.has("appProtocol") {
            qualified(item.text("appProtocol"), &path.child("appProtocol"), errors);
        }
    }
}

fn warnings(endpoints: &Value, _: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let list = Path::new("subsets");
    for (index, subset) in endpoints.items("subsets").iter().enumerate() {
        let path = list.index(index);
        for name in ["addresses", "notReadyAddresses"] {
            let list = path.child(name);
            for (index, address) in subset.items(name).iter().enumerate() {
                let path = list.index(index);
                warnings.extend(names::ip_warnings(&path.child("ip"), address.text("ip")));
            }
        }
    }
    warnings
}

/// `10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...`
fn shown(endpoints: &Value) -> String {
    let mut all = Vec::new();
    for subset in endpoints.items("subsets") {
        let addresses = || {
            subset
                .items("addresses")
                .iter()
                .map(|address| address.text("ip"))
        };
        if subset.items("ports").is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in subset.items("ports") {
            let number = port.whole("port").unwrap_or_default();
            all.extend(addresses().map(|address| match address.contains(':') {
                true => format!("[{address}]:{number}"),
                false => format!("{address}:{number}"),
            }));
        }
    }
    if all.is_empty() {
        return crate::cells::NONE.to_owned();
    }
    crate::cells::first(&all, SHOWN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, check_create};
    use serde_json::json;

    #[test]
    fn mistakes() {
        let check = |subset: Value, expect: &[&str]| {
            check_create(&RULES, &json!({"subsets": [subset]}), expect)
        };
        check(
            json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}),
            &[],
        );
        check(
            json!({}),
            &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
        );
        check(
            json!({"addresses": [{"ip": "127.0.0.1", "hostname": "A"}], "ports": [{"port": 1}, {"port": 70000, "name": "a", "protocol": "X"}]}),
            &[
                r#"subsets[0].addresses[0].hostname: Invalid value: "A""#,
                r#"subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
                "subsets[0].ports[0].name: Required value",
                "subsets[0].ports[1].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
                r#"subsets[0].ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP""#,
            ],
        );
    }

    #[test]
    fn rows() {
        let check = |subsets: Value, expect: &str| {
            let row = cells(&RULES, &json!({ "subsets": subsets }));
            assert_eq!(row[1], expect);
        };
        let addresses = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
        check(json!([]), "<none>");
        check(json!([{"addresses": addresses}]), "10.0.0.1,fd00::1");
        check(
            json!([{"addresses": addresses, "ports": [{"port": 80}, {"port": 443}]}]),
            "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 1 more...",
        );
    }
}
