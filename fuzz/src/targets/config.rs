//! What an operator sends: machine configs and certificate requests.

use machine_config::limits::MAX_PROBLEMS;
use machine_config::{diff, parse, requires_reboot, salvage, to_redacted_yaml, to_yaml};
use pki::Request;

/// Every refusal says where and shows no control character, and whatever is taken comes back from its own
/// YAML.
pub(crate) fn machine_config(bytes: &[u8]) {
    match parse(bytes) {
        Ok(config) => {
            let written = to_yaml(&config);
            let again = parse(written.as_bytes()).expect("what the emitter writes is valid");
            assert_eq!(again, config);
            assert!(diff(&config, &again).is_empty());
            assert!(requires_reboot(&config, &again).is_empty());
            assert!(parse(to_redacted_yaml(&config).as_bytes()).is_err());
            assert_eq!(salvage::authority(bytes), Some(config.machine.ca));
        }
        Err(problems) => {
            let _ = salvage::authority(bytes);
            assert!((1..=MAX_PROBLEMS).contains(&problems.problems.len()));
            for problem in &problems.problems {
                assert!(problem.line >= 1 && problem.column >= 1);
                assert!(!problem.to_string().contains(char::is_control));
            }
        }
    }
}

/// A request that is taken has names that can be read.
pub(crate) fn certificate_request(bytes: &[u8]) {
    if let Ok(request) = Request::from_pem(&String::from_utf8_lossy(bytes)) {
        let _ = request.names();
    }
}
