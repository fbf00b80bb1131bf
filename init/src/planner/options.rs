//! What `init` was told on its command line and on the kernel's.
//!
//! Kernel command line keys (all optional):
//!
//! | key | meaning |
//! | --- | --- |
//! | `orlop.fail-phase=NAME` | that boot phase does its work and then reports failure |
//! | `orlop.hang-phase=NAME` | `init` hangs after that phase's work and feeds no watchdog |
//! | `orlop.boot-deadline=SECONDS` | reset when `services` is not reached in this time |
//!
//! The fault keys are honoured unless the kernel is locked down (which Debian's kernels are under
//! Secure Boot): who may edit the command line of an unlocked machine owns it anyway.

use std::time::Duration;

/// Without `orlop.boot-deadline`: TCG under load has needed a minute from power-on to services.
pub(crate) const BOOT_DEADLINE_DEFAULT: Duration = Duration::from_secs(300);
/// Bounds of `orlop.boot-deadline`.
const BOOT_DEADLINE_RANGE: std::ops::RangeInclusive<u64> = 10..=3600;

/// How this `init` runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// In namespaces on a Linux host: whole-machine phases are left out.
    pub(crate) sandboxed: bool,
    /// Injected faults.
    pub(crate) faults: Faults,
    /// Longest time to reach `services`.
    pub(crate) boot_deadline: Duration,
    /// The kernel came locked down: its command line is sealed with the release, and says nothing of
    /// where a config is.
    pub(crate) locked_down: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sandboxed: false,
            faults: Faults::default(),
            boot_deadline: BOOT_DEADLINE_DEFAULT,
            locked_down: false,
        }
    }
}

/// Faults to inject, by phase name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Reports failure after its work.
    pub(crate) fail: Option<String>,
    /// Hangs after its work.
    pub(crate) hang: Option<String>,
}

/// Why the arguments were not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionsError {
    /// Unknown word.
    #[error(
        "argument \"{0}\" is unknown; known are --sandbox, --fail-phase NAME and --hang-phase NAME"
    )]
    Unknown(String),
    /// A flag without its value.
    #[error("argument \"{0}\" needs the name of a boot phase")]
    Value(String),
}

/// Reads the arguments of a sandboxed `init`. The kernel hands PID 1 those words of its command line
/// that it does not know itself, so a whole machine's `init` must not call this.
///
/// # Errors
/// [`OptionsError`] for anything not understood.
pub(crate) fn from_arguments(
    arguments: impl IntoIterator<Item = String>,
) -> Result<Options, OptionsError> {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| OptionsError::Value(argument.clone()))
        };
        match argument.as_str() {
            "--sandbox" => options.sandboxed = true,
            "--fail-phase" => options.faults.fail = Some(value()?),
            "--hang-phase" => options.faults.hang = Some(value()?),
            _ => return Err(OptionsError::Unknown(argument)),
        }
    }
    Ok(options)
}

/// The value of `key=value` on a kernel command line; the last one wins. Quotes are the kernel's own.
pub(crate) fn kernel_value<'a>(cmdline: &'a str, key: &str) -> Option<&'a str> {
    cmdline
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .next_back()
}

/// Adds what the kernel command line says. `locked_down` turns injected faults off.
pub(crate) fn merge_kernel(options: &mut Options, cmdline: &str, locked_down: bool) {
    if let Some(seconds) = kernel_value(cmdline, "orlop.boot-deadline")
        .and_then(|text| text.parse().ok())
        .filter(|seconds| BOOT_DEADLINE_RANGE.contains(seconds))
    {
        options.boot_deadline = Duration::from_secs(seconds);
    }
    options.locked_down = locked_down;
    if locked_down {
        return;
    }
    if let Some(name) = kernel_value(cmdline, "orlop.fail-phase") {
        options.faults.fail = Some(name.into());
    }
    if let Some(name) = kernel_value(cmdline, "orlop.hang-phase") {
        options.faults.hang = Some(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn arguments_of_a_sandbox() {
        let options = from_arguments(words("--sandbox --fail-phase plan")).unwrap();
        assert!(options.sandboxed);
        assert_eq!(options.faults.fail.as_deref(), Some("plan"));
        assert_eq!(
            from_arguments(words("--sandbox --fail-phase")),
            Err(OptionsError::Value("--fail-phase".into()))
        );
        assert!(matches!(
            from_arguments(words("--rescue")),
            Err(OptionsError::Unknown(_))
        ));
    }

    #[test]
    fn a_locked_down_kernel_takes_no_faults() {
        let cmdline = "console=ttyS0 orlop.fail-phase=plan orlop.boot-deadline=30";
        let mut open = Options::default();
        merge_kernel(&mut open, cmdline, false);
        assert_eq!(open.faults.fail.as_deref(), Some("plan"));
        assert_eq!(open.boot_deadline, Duration::from_secs(30));
        let mut locked = Options::default();
        merge_kernel(&mut locked, cmdline, true);
        assert_eq!(locked.faults, Faults::default());
        assert!(locked.locked_down);
        assert_eq!(locked.boot_deadline, Duration::from_secs(30));
    }

    #[test]
    fn an_absurd_deadline_is_not_taken() {
        for text in ["0", "99999", "soon"] {
            let mut options = Options::default();
            merge_kernel(&mut options, &format!("orlop.boot-deadline={text}"), false);
            assert_eq!(options.boot_deadline, BOOT_DEADLINE_DEFAULT, "{text}");
        }
    }
}
