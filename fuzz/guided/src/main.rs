//! One target under libFuzzer; the environment variable `ORLOP_FUZZ_TARGET` names it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use orlop_fuzz::Target;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{LazyLock, Mutex, PoisonError};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("ORLOP_FUZZ_TARGET").expect("ORLOP_FUZZ_TARGET is set");
    // libFuzzer's bindings abort on every panic, also on one that the parser catches itself.
    set_hook(Box::new(|panic| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    Target::find(&name).expect("there is such a target")
});

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fuzz_target!(|bytes: &[u8]| {
    let target = *TARGET;
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err() {
        let said = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("{} does not hold: {said}", target.name);
        std::process::abort();
    }
});
