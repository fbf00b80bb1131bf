//! Arbitrary bytes through the machine config's parser: no panic, no hang, every refusal says where
//! and shows no control character, and whatever is taken comes back from its own YAML.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orlop_machine_config::limits::MAX_PROBLEMS;
use orlop_machine_config::{diff, parse, requires_reboot, salvage, to_redacted_yaml, to_yaml};

fuzz_target!(|bytes: &[u8]| match parse(bytes) {
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
        assert!(!problems.problems.is_empty() && problems.problems.len() <= MAX_PROBLEMS);
        for problem in &problems.problems {
            assert!(problem.line >= 1 && problem.column >= 1);
            assert!(!problem.to_string().contains(char::is_control));
        }
    }
});
