//! Profiles as people write them: JSON, in the form of the OCI runtime spec, or in Docker's, which chooses rules by the
//! container's capabilities and the kernel.

use super::{Error, Kernel, TEXT_MAX};
use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder,
    LinuxSeccompFilterFlag, LinuxSyscall, LinuxSyscallBuilder,
};
use serde::Deserialize;

/// How Go, and so Docker's profiles, name this machine.
const ARCHITECTURE: &str = "amd64";

/// The profile for a container with these capabilities (its bounding set).
///
/// # Errors
/// [`Error::Text`], [`Error::TextTooLong`], [`Error::Both`] and [`Error::MinKernel`]. Fields that are not known are
/// passed over.
pub fn parse(
    text: &[u8],
    capabilities: &Capabilities,
    kernel: Kernel,
) -> Result<LinuxSeccomp, Error> {
    if text.len() > TEXT_MAX {
        return Err(Error::TextTooLong(text.len()));
    }
    let profile: Profile = serde_json::from_slice(text)?;
    let mut rules = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        if rule.applies(capabilities, kernel)? {
            rules.push(rule.into_oci()?);
        }
    }
    let mut built = LinuxSeccompBuilder::default()
        .default_action(profile.default_action)
        .architectures(architectures(
            profile.architectures.unwrap_or_default(),
            profile.arch_map.unwrap_or_default(),
        )?)
        .syscalls(rules);
    if let Some(value) = profile.default_errno_ret {
        built = built.default_errno_ret(value);
    }
    if let Some(flags) = profile.flags {
        built = built.flags(flags);
    }
    Ok(built.build().expect("no field of it is required"))
}

/// Those of the map's entry for this machine, or the plain list.
fn architectures(plain: Vec<Arch>, map: Vec<ArchMap>) -> Result<Vec<Arch>, Error> {
    if !plain.is_empty() && !map.is_empty() {
        return Err(Error::Both("architectures", "archMap"));
    }
    Ok(map
        .into_iter()
        .find(|entry| entry.architecture == Arch::ScmpArchX86_64)
        .map_or(plain, |entry| {
            [
                vec![entry.architecture],
                entry.sub_architectures.unwrap_or_default(),
            ]
            .concat()
        }))
}

/// Lists may be absent, or null as Go writes empty ones.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<Arch>>,
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Option<Vec<String>>,
    /// The older form, for one.
    name: Option<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Choice>,
    excludes: Option<Choice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Choice {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Rule {
    /// All that is included must hold, and nothing that is excluded.
    fn applies(&self, capabilities: &Capabilities, kernel: Kernel) -> Result<bool, Error> {
        let has = |name: &String| {
            capabilities
                .iter()
                .any(|capability| capability.to_string() == *name.trim_start_matches("CAP_"))
        };
        let here = |arches: &Vec<String>| arches.iter().any(|arch| arch == ARCHITECTURE);
        let reached = |version: &String| match version.parse::<Kernel>() {
            Ok(version) => Ok(kernel >= version),
            Err(_) => Err(Error::MinKernel(version.clone())),
        };
        if let Some(includes) = &self.includes {
            let caps = includes.caps.iter().flatten().all(has);
            let arches = includes
                .arches
                .as_ref()
                .is_none_or(|arches| arches.is_empty() || here(arches));
            let version = includes.min_kernel.as_ref().map_or(Ok(true), reached)?;
            if !(caps && arches && version) {
                return Ok(false);
            }
        }
        if let Some(excludes) = &self.excludes {
            let caps = excludes.caps.iter().flatten().any(has);
            let arches = excludes.arches.as_ref().is_some_and(here);
            let version = excludes.min_kernel.as_ref().map_or(Ok(false), reached)?;
            if caps || arches || version {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn into_oci(self) -> Result<LinuxSyscall, Error> {
        let names = match (self.name.filter(|name| !name.is_empty()), self.names) {
            (Some(_), Some(names)) if !names.is_empty() => {
                return Err(Error::Both("name", "names"));
            }
            (Some(name), _) => vec![name],
            (None, names) => names.unwrap_or_default(),
        };
        let mut rule = LinuxSyscallBuilder::default()
            .names(names)
            .action(self.action)
            .args(self.args.unwrap_or_default());
        if let Some(value) = self.errno_ret {
            rule = rule.errno_ret(value);
        }
        Ok(rule.build().expect("no field of it is required"))
    }
}
