//! The committed files: examples that the parser takes, and a reference that is current.

use std::path::PathBuf;

use orlop_machine_config::{parse, reference_files, to_yaml};

fn docs(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(path)
}

#[test]
fn every_example_is_a_valid_config_that_comes_back() {
    let mut count = 0;
    for entry in std::fs::read_dir(docs("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        count += 1;
        let text = std::fs::read(&path).unwrap();
        let config =
            parse(&text).unwrap_or_else(|problems| panic!("{}:\n{problems}", path.display()));
        let written = to_yaml(&config);
        let again =
            parse(written.as_bytes()).unwrap_or_else(|problems| panic!("{problems}\n{written}"));
        assert_eq!(again, config, "{written}");
    }
    assert_eq!(
        count, 3,
        "one of the examples is gone, or a new one is not counted here"
    );
}

#[test]
fn the_generated_reference_is_current() {
    for (name, content) in reference_files() {
        let committed = std::fs::read_to_string(docs("reference").join(name)).unwrap();
        assert!(
            committed == content,
            "docs/reference/{name} is out of date: run cargo xtask docs"
        );
    }
}
