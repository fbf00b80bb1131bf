//! The last steps of a container's process before it is the user's program: filter, capabilities, exec.
//!
//! It runs within the container, as its user, in a process that libcontainer has made. Whatever fails here is told to who started
//! the container.

use super::{bundle::Workload, sys};
use libcontainer::{
    capabilities::CapabilityExt as _,
    workload::{Executor, ExecutorError, ExecutorValidationError},
};
use nix::unistd::{AccessFlags, access, execve};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Spec};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};
use std::{
    ffi::CString,
    io,
    path::{Path, PathBuf},
};

/// Where programs are looked for, if the environment does not say; Linux's.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Highest capability that sets of 64 bits can have.
const CAPABILITIES: u32 = 64;

impl Executor for Workload {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let failed =
            |what: &str, error: io::Error| ExecutorError::Other(format!("{what}: {error}"));
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        let arguments = process.args().clone().unwrap_or_default();
        let environment = process.env().clone().unwrap_or_default();
        let first = arguments.first().ok_or(ExecutorError::InvalidArg)?;
        let program = find(first, &environment).map_err(ExecutorError::Other)?;
        if let Some(kept) = &self.capabilities {
            bound(kept).map_err(|error| failed("lower the bounding capabilities", error))?;
        }
        if !self.filter.is_empty() {
            sys::filter(&self.filter).map_err(|error| failed("filter system calls", error))?;
        }
        if let Some(kept) = &self.capabilities {
            keep(kept).map_err(|error| failed("lower the capabilities", error))?;
        }
        let environment = with_home(&environment);
        let program_name = program.display().to_string();
        let error = execve(
            &c_string(&program_name)?,
            &c_strings(&arguments)?,
            &c_strings(&environment)?,
        );
        let error = match error {
            Ok(never) => match never {},
            Err(error) => error,
        };
        Err(ExecutorError::Other(format!(
            "exec {program_name}: {}",
            error.desc().to_lowercase()
        )))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let invalid = ExecutorValidationError::ArgValidationError;
        let process = spec.process().as_ref();
        let process = process.ok_or_else(|| invalid("there is no process".to_owned()))?;
        let arguments = process.args().clone().unwrap_or_default();
        let first = arguments
            .first()
            .ok_or_else(|| invalid("there is no command".to_owned()))?;
        let environment = process.env().clone().unwrap_or_default();
        find(first, &environment).map(drop).map_err(invalid)
    }
}

/// The file that a command names. The texts are those that users know from runc.
fn find(command: &str, environment: &[String]) -> Result<PathBuf, String> {
    let executable = |path: &Path| {
        let file = std::fs::metadata(path).is_ok_and(|found| !found.is_dir());
        file && access(path, AccessFlags::X_OK).is_ok()
    };
    if command.contains('/') {
        let path = PathBuf::from(command);
        return match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
                "exec: {command:?}: stat {command}: no such file or directory"
            )),
            Ok(found) if found.is_dir() => Err(format!("exec: {command:?}: is a directory")),
            _ if executable(&path) => Ok(path),
            _ => Err(format!("exec: {command:?}: permission denied")),
        };
    }
    let path = environment
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(PATH_DEFAULT);
    path.split(':')
        .map(|directory| match directory {
            // As a shell has it.
            "" => Path::new(".").join(command),
            directory => Path::new(directory).join(command),
        })
        .find(|candidate| executable(candidate))
        .ok_or_else(|| format!("exec: {command:?}: executable file not found in $PATH"))
}

/// In the order in which it was given, with a home: libcontainer has looked in the container's passwd(5), and left it in this process's
/// own environment.
fn with_home(environment: &[String]) -> Vec<String> {
    let has = |variable: &String| {
        variable
            .strip_prefix("HOME=")
            .is_some_and(|home| !home.is_empty())
    };
    if environment.iter().any(has) {
        return environment.to_vec();
    }
    let given = environment
        .iter()
        .filter(|variable| !variable.starts_with("HOME="))
        .cloned();
    let home = std::env::var("HOME").map(|home| format!("HOME={home}"));
    given.chain(home).collect()
}

fn bound(kept: &LinuxCapabilities) -> io::Result<()> {
    let kept = mask(kept.bounding().as_ref());
    for number in 0..CAPABILITIES {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            // The kernel has fewer.
            Err(rustix::io::Errno::INVAL) => break,
            result => result?,
        }
    }
    Ok(())
}

fn keep(kept: &LinuxCapabilities) -> io::Result<()> {
    set_capabilities(
        None,
        CapabilitySets {
            effective: mask(kept.effective().as_ref()),
            permitted: mask(kept.permitted().as_ref()),
            inheritable: mask(kept.inheritable().as_ref()),
        },
    )?;
    clear_ambient_capability_set()?;
    let ambient = mask(kept.ambient().as_ref());
    for one in ambient.iter() {
        configure_capability_in_ambient_set(one, true)?;
    }
    Ok(())
}

fn mask(set: Option<&Capabilities>) -> CapabilitySet {
    set.into_iter()
        .flatten()
        .fold(CapabilitySet::empty(), |mask, capability| {
            mask | CapabilitySet::from_bits_retain(1 << capability.to_cap().index())
        })
}

fn c_strings(texts: &[String]) -> Result<Vec<CString>, ExecutorError> {
    texts.iter().map(|text| c_string(text)).collect()
}

fn c_string(text: &str) -> Result<CString, ExecutorError> {
    CString::new(text).map_err(|_| ExecutorError::Other(format!("{text:?} has a NUL")))
}
