//! Names: hosts, labels, sysctls, kernel modules, flags. Each check says what is wrong, not what
//! the text was: the caller decides whether the text may be shown.

use super::string_type;

/// Longest DNS name in text form (RFC 1035, section 2.3.4).
const DNS_NAME_MAX: usize = 253;
/// Longest DNS label, and longest Kubernetes label name or value (RFC 1035; Kubernetes' labels).
const DNS_LABEL_MAX: usize = 63;
/// Longest host name that Linux takes (HOST_NAME_MAX, gethostname(2)).
const HOSTNAME_MAX: usize = 64;
/// Longest kernel module name (MODULE_NAME_LEN less the final zero).
const MODULE_NAME_MAX: usize = 55;
/// Longest module parameter and free text value; far above real ones.
const TEXT_MAX: usize = 4096;
/// Longest sysctl name; the deepest real ones have about 60 characters.
const SYSCTL_NAME_MAX: usize = 200;
/// Longest name of a flag.
const FLAG_NAME_MAX: usize = 100;

string_type!(
    /// A node's host name: RFC 1123 labels in lower case, as Kubernetes wants for a node, and at
    /// most 64 characters, as Linux does.
    Hostname,
    "hostname",
    "lower-case letters, digits and '-', in labels joined by '.', at most 64 characters (RFC 1123)",
    |text| {
        dns_name(text)?;
        at_most(text, HOSTNAME_MAX)?;
        refuse_address(text)
    }
);

string_type!(
    /// A DNS domain, such as `cluster.local`.
    DomainName,
    "domain",
    "a DNS domain in lower case, such as cluster.local",
    |text| {
        dns_name(text)?;
        refuse_address(text)
    }
);

string_type!(
    /// A DNS name or an IP address.
    Host,
    "host",
    "a DNS name or an IP address, without a port",
    host
);

string_type!(
    /// A name of the user's choice that becomes part of others: one DNS label.
    ResourceName,
    "name",
    "lower-case letters, digits and '-', at most 63 characters (one DNS label)",
    dns_label
);

string_type!(
    /// A Kubernetes label or taint key: an optional DNS prefix and a name.
    LabelKey,
    "label-key",
    "a Kubernetes label key, such as example.com/zone",
    label_key
);

string_type!(
    /// A Kubernetes label or taint value; may be empty.
    LabelValue,
    "label-value",
    "letters, digits, '-', '_' and '.', at most 63 characters, letter or digit at both ends",
    |text| if text.is_empty() { Ok(()) } else { label_name(text) }
);

string_type!(
    /// A sysctl as a dotted name, such as `net.ipv4.ip_forward`; `/` inside a part stands for a
    /// dot in a file name, as in sysctl.d(5).
    SysctlName,
    "sysctl-name",
    "a dotted kernel parameter, such as net.ipv4.ip_forward",
    sysctl_name
);

impl SysctlName {
    /// The file below `/proc/sys`, such as `net/ipv4/ip_forward`. Never empty, never with `..`.
    #[must_use]
    pub fn path(&self) -> String {
        let swapped = self.as_str().chars().map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        });
        swapped.collect()
    }
}

string_type!(
    /// A kernel module's name.
    ModuleName,
    "module-name",
    "letters, digits, '_' and '-', at most 55 characters, such as br_netfilter",
    |text| {
        at_most(text, MODULE_NAME_MAX)?;
        only(text, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    }
);

string_type!(
    /// A kernel module's parameter: `name=value` or a bare `name`.
    ModuleParameter,
    "module-parameter",
    "name=value without blanks, such as max_loop=8",
    |text| {
        at_most(text, TEXT_MAX)?;
        let name = text.split_once('=').map_or(text, |(name, _)| name);
        only(name, |c| c.is_ascii_alphanumeric() || "_-.".contains(c))?;
        if text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(())
        } else {
            Err("holds a blank or a character outside ASCII".to_owned())
        }
    }
);

string_type!(
    /// A long flag's name without the dashes.
    FlagName,
    "flag-name",
    "a long flag without its dashes, such as profiling",
    |text| {
        at_most(text, FLAG_NAME_MAX)?;
        if text.starts_with('-') {
            return Err("begins with '-'; leave the dashes out".to_owned());
        }
        only(text, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    }
);

string_type!(
    /// A registry as image references name it: host and optional port, or `*` for every other one.
    RegistryHost,
    "registry",
    "a registry's host with an optional port, such as docker.io or localhost:5000; * for all others",
    |text| {
        if text == "*" {
            return Ok(());
        }
        let (name, port) = super::url::split_port(text)?;
        host(name)?;
        port.map_or(Ok(()), |port| super::url::port(port).map(drop))
    }
);

string_type!(
    /// A block device, such as `/dev/vda`.
    DiskPath,
    "disk-path",
    "a device file below /dev, such as /dev/vda or /dev/disk/by-id/...",
    |text| {
        let Some(rest) = text.strip_prefix("/dev/") else {
            return Err("is not below /dev/".to_owned());
        };
        at_most(text, DNS_NAME_MAX)?;
        only(rest, |c| c.is_ascii_alphanumeric() || "-_.:/+@=#".contains(c))?;
        if rest.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err("has an empty, '.' or '..' part".to_owned());
        }
        Ok(())
    }
);

string_type!(
    /// Free text on one line. Numbers and booleans need no quotes and keep their spelling.
    Text,
    "text",
    "text on one line; numbers and booleans need no quotes",
    |text| {
        at_most(text, TEXT_MAX)?;
        if text.chars().any(char::is_control) {
            return Err("holds a control character or a line break".to_owned());
        }
        Ok(())
    }
);

fn at_most(text: &str, max: usize) -> Result<(), String> {
    if text.len() > max {
        Err(format!("is longer than {max} characters"))
    } else {
        Ok(())
    }
}

fn only(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("holds {}, which is not allowed", described(c))),
        None => Ok(()),
    }
}

fn described(c: char) -> String {
    match c {
        ' ' => "a blank".to_owned(),
        c if c.is_ascii_uppercase() => format!("the upper-case letter '{c}'"),
        c if c.is_ascii_graphic() => format!("'{c}'"),
        _ => "a character outside printable ASCII".to_owned(),
    }
}

/// One DNS label in lower case (RFC 1123, section 2.1).
fn dns_label(text: &str) -> Result<(), String> {
    only(text, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
    })?;
    at_most(text, DNS_LABEL_MAX)?;
    if text.starts_with('-') || text.ends_with('-') {
        return Err("begins or ends with '-'".to_owned());
    }
    Ok(())
}

/// DNS labels joined by dots, in lower case.
pub(super) fn dns_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    at_most(text, DNS_NAME_MAX)?;
    for label in text.split('.') {
        if label.is_empty() {
            return Err("has an empty part: a dot at an end, or two in a row".to_owned());
        }
        dns_label(label)?;
    }
    Ok(())
}

/// A last label of digits only means an IPv4 address (WHATWG URL, section 3.5), well formed or not.
fn refuse_address(text: &str) -> Result<(), String> {
    let last = text.rsplit('.').next().unwrap_or(text);
    if text.contains('.') && last.chars().all(|c| c.is_ascii_digit()) {
        return Err("looks like an IP address, not a name".to_owned());
    }
    Ok(())
}

/// A DNS name or an IP address.
pub(super) fn host(text: &str) -> Result<(), String> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    dns_name(text)?;
    refuse_address(text)
}

/// Kubernetes' qualified name.
fn label_key(text: &str) -> Result<(), String> {
    match text.split_once('/') {
        Some((prefix, name)) => {
            dns_name(prefix).map_err(|why| format!("has a prefix that {why}"))?;
            label_name(name).map_err(|why| format!("has a name that {why}"))
        }
        None => label_name(text),
    }
}

fn label_name(text: &str) -> Result<(), String> {
    only(text, |c| c.is_ascii_alphanumeric() || "-_.".contains(c))?;
    at_most(text, DNS_LABEL_MAX)?;
    let ends = [text.chars().next(), text.chars().next_back()];
    if ends.iter().flatten().all(char::is_ascii_alphanumeric) {
        Ok(())
    } else {
        Err("does not begin and end with a letter or a digit".to_owned())
    }
}

fn sysctl_name(text: &str) -> Result<(), String> {
    at_most(text, SYSCTL_NAME_MAX)?;
    only(text, |c| c.is_ascii_alphanumeric() || "-_./:".contains(c))?;
    if !text.contains('.') {
        return Err("has no dot".to_owned());
    }
    let parts: Vec<&str> = text.split('.').collect();
    if parts
        .iter()
        .any(|part| part.is_empty() || part.split('/').any(str::is_empty))
    {
        return Err("has an empty part".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::TextValue;
    use super::*;

    fn check<T: TextValue>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(T::parse(text).is_ok(), "{} refuses {text:?}", T::FORMAT);
        }
        for text in bad {
            assert!(T::parse(text).is_err(), "{} takes {text:?}", T::FORMAT);
        }
    }

    #[test]
    fn a_sysctl_names_a_file_below_proc_sys() {
        let path = |text: &str| SysctlName::parse(text).unwrap().path();
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(
            path("net.ipv4.conf.eth0/1.rp_filter"),
            "net/ipv4/conf/eth0.1/rp_filter"
        );
        for escape in ["a.//.b", "//.a", "a.//", "/.a.b"] {
            assert!(SysctlName::parse(escape).is_err(), "{escape}");
        }
    }

    #[test]
    fn names_take_what_their_rules_say() {
        let long = "a".repeat(64);
        check::<Hostname>(
            &["node", "n1.example.com", "1a"],
            &[
                "",
                "Node",
                "-a",
                "a-",
                "a..b",
                "a.",
                "1.2.3.4",
                "a_b",
                &format!("{long}a"),
                "ä",
            ],
        );
        check::<DomainName>(
            &["cluster.local", "local"],
            &["", "cluster.local.", "10.0.0.1"],
        );
        check::<Host>(
            &["a.b", "10.0.0.1", "2001:db8::1"],
            &["", "10.0.0", "10.0.0.256", "[::1]", "a:80"],
        );
        check::<ResourceName>(&["prod", "a-1"], &["a.b", "", &long]);
        check::<LabelKey>(
            &["zone", "example.com/zone", "A_b.c"],
            &["", "/a", "a/", "a/b/c", "-a", "Ex.com/a", &long],
        );
        check::<LabelValue>(&["", "a", "A_b-1.c"], &["-a", "a b", "a.", &long]);
        check::<SysctlName>(
            &["net.ipv4.ip_forward", "net.ipv4.conf.eth0/1.rp_filter"],
            &[
                "net",
                "net..ipv4",
                ".a.b",
                "a.b ",
                "a.b/",
                "../../etc/passwd",
                "a./b",
            ],
        );
        check::<ModuleName>(&["br_netfilter", "snd-hda"], &["", "a b", "../x", &long]);
        check::<ModuleParameter>(&["a=b", "debug", "a=1,2"], &["", "=b", "a=b c", "a b=c"]);
        check::<FlagName>(&["v", "audit-log-maxage"], &["", "--v", "A", "a=b"]);
        check::<RegistryHost>(
            &[
                "docker.io",
                "localhost:5000",
                "*",
                "10.0.0.1:5000",
                "[::1]:5000",
            ],
            &["", "https://a", "a/b", "a:0", "a:70000", "a:"],
        );
        check::<DiskPath>(
            &["/dev/vda", "/dev/disk/by-id/wwn-0x5"],
            &[
                "vda",
                "/dev/",
                "/dev/../etc/passwd",
                "/dev//vda",
                "/etc/passwd",
            ],
        );
        check::<Text>(&["", "1", "a b"], &["a\nb", "a\0"]);
    }
}
