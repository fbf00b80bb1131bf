//! `cargo xtask <verb>`: the one way to do anything in this work tree. A verb is one line in [`VERBS`]
//! and one file under `verbs/`.

use std::process::ExitCode;
use xtask::verbs;

/// One verb: what the user types, one line of help, and the function that does it. The function gets
/// the arguments after the verb.
struct Verb {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

/// The table of verbs, in the order in which they are listed.
const VERBS: &[Verb] = &[
    Verb {
        name: "up",
        about: "build the release, boot it in QEMU, give it a config, say how to talk to it",
        run: verbs::up::up,
    },
    Verb {
        name: "down",
        about: "stop the machine of `up` and remove it",
        run: verbs::up::down,
    },
    Verb {
        name: "image",
        about: "build the release: one bootable file, disk image, checksums, SBOM",
        run: verbs::image::run,
    },
    Verb {
        name: "test",
        about: "build the release and run every test suite, QEMU ones included",
        run: verbs::test::run,
    },
    Verb {
        name: "fuzz",
        about: "the parsers of outside input under libFuzzer; `test fuzz` is the short version",
        run: verbs::fuzz::run,
    },
    Verb {
        name: "seeds",
        about: "simulations and property tests over many seeds; `test unit` is the short version",
        run: verbs::seeds::run,
    },
    Verb {
        name: "soak",
        about: "a node under crashes and floods for minutes; `test sandbox_soak` is the short version",
        run: verbs::soak::run,
    },
    Verb {
        name: "verify",
        about: "format, clippy, rustdoc, cargo-deny, layers, generated pages and schemas",
        run: verbs::verify::run,
    },
    Verb {
        name: "docs",
        about: "write the pages that are generated from types and tables",
        run: verbs::docs::run,
    },
    Verb {
        name: "schemas",
        about: "write the schemas of Kubernetes' own types from the crates that carry them",
        run: verbs::schemas::run,
    },
    Verb {
        name: "bench",
        about: "measure: `bench image` the release, `bench store` the store against etcd, `bench apiserver` the API server",
        run: verbs::bench::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", listing());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", listing());
        return ExitCode::SUCCESS;
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprintln!("error: there is no verb `{name}`\n\n{}", listing());
        return ExitCode::from(2);
    };
    match (verb.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The list that `cargo xtask` alone prints.
fn listing() -> String {
    let mut text = String::from("cargo xtask <verb> [options]\n\n");
    for verb in VERBS {
        text.push_str(&format!("  {:<8} {}\n", verb.name, verb.about));
    }
    text.push_str("\n`cargo xtask <verb> --help` says more about one verb.\n");
    text
}
