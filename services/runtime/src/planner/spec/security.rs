//! Profiles: seccomp and AppArmor.

use super::{Ask, Error, absolute, process::Granted};
use crate::planner::seccomp;
use cri_proto::runtime::{
    ContainerConfig, LinuxContainerSecurityContext, SecurityProfile, security_profile::ProfileType,
};
use oci_spec::runtime::LinuxSeccomp;
use std::path::PathBuf;

const SECCOMP: &str = "LinuxContainerSecurityContext.seccomp";
const SECCOMP_OLD: &str = "LinuxContainerSecurityContext.seccomp_profile_path";
const APPARMOR: &str = "LinuxContainerSecurityContext.apparmor";
const APPARMOR_OLD: &str = "LinuxContainerSecurityContext.apparmor_profile";

/// The file whose text is to be in [`super::Facts::seccomp_profile`], where the container asks for one.
///
/// # Errors
/// [`Error::Invalid`] for a path that is none, or an unknown kind of profile.
pub fn seccomp_path(config: &ContainerConfig) -> Result<Option<PathBuf>, Error> {
    let security = config
        .linux
        .as_ref()
        .and_then(|linux| linux.security_context.as_ref());
    match security.map(seccomp_choice).transpose()? {
        Some(Choice::Localhost(path)) => Ok(Some(path)),
        _ => Ok(None),
    }
}

enum Choice {
    RuntimeDefault,
    Unconfined,
    Localhost(PathBuf),
}

/// Without a word, and for a privileged container, unconfined.
fn seccomp_choice(security: &LinuxContainerSecurityContext) -> Result<Choice, Error> {
    if security.privileged {
        return Ok(Choice::Unconfined);
    }
    if let Some(profile) = &security.seccomp {
        return Ok(match kind(SECCOMP, profile)? {
            ProfileType::RuntimeDefault => Choice::RuntimeDefault,
            ProfileType::Unconfined => Choice::Unconfined,
            ProfileType::Localhost => Choice::Localhost(absolute(
                "SecurityProfile.localhost_ref",
                &profile.localhost_ref,
            )?),
        });
    }
    #[allow(deprecated, reason = "older kubelets send it")]
    let old = security.seccomp_profile_path.as_str();
    match old {
        "" | "unconfined" => Ok(Choice::Unconfined),
        "runtime/default" | "docker/default" => Ok(Choice::RuntimeDefault),
        _ => match old.strip_prefix("localhost/") {
            Some(path) => Ok(Choice::Localhost(absolute(SECCOMP_OLD, path)?)),
            None => Err(Error::invalid(SECCOMP_OLD, old, "it is no kind of profile")),
        },
    }
}

fn kind(field: &'static str, profile: &SecurityProfile) -> Result<ProfileType, Error> {
    ProfileType::try_from(profile.profile_type)
        .map_err(|_| Error::invalid(field, profile.profile_type, "it is no ProfileType"))
}

/// The profile of system calls.
pub(super) fn profile(
    ask: &Ask<'_>,
    capabilities: &Granted,
) -> Result<Option<LinuxSeccomp>, Error> {
    let kernel = ask.facts.kernel;
    Ok(match seccomp_choice(&ask.security)? {
        Choice::Unconfined => None,
        Choice::RuntimeDefault => Some(seccomp::runtime_default(&capabilities.all, kernel)),
        Choice::Localhost(_) => {
            let text = ask
                .facts
                .seccomp_profile
                .ok_or(Error::Missing("the seccomp profile of localhost_ref"))?;
            Some(seccomp::parse(text, &capabilities.all, kernel)?)
        }
    })
}

/// There is no AppArmor profile to apply: its absence is asked for, or the host has none anyway.
pub(super) fn apparmor(ask: &Ask<'_>) -> Result<(), Error> {
    if ask.security.privileged {
        return Ok(());
    }
    let (kind, given) = match &ask.security.apparmor {
        Some(profile) => (kind(APPARMOR, profile)?, true),
        None => {
            #[allow(deprecated, reason = "older kubelets send it")]
            let old = ask.security.apparmor_profile.as_str();
            match old {
                "" => (ProfileType::RuntimeDefault, false),
                "runtime/default" => (ProfileType::RuntimeDefault, true),
                "unconfined" => (ProfileType::Unconfined, true),
                _ if old.starts_with("localhost/") => (ProfileType::Localhost, true),
                _ => {
                    return Err(Error::invalid(
                        APPARMOR_OLD,
                        old,
                        "it is no kind of profile",
                    ));
                }
            }
        }
    };
    match kind {
        ProfileType::Unconfined => Ok(()),
        ProfileType::RuntimeDefault if !(given && ask.facts.apparmor) => Ok(()),
        ProfileType::RuntimeDefault => Err(Error::unsupported(
            APPARMOR,
            "this runtime has no profile of its own",
        )),
        ProfileType::Localhost => Err(Error::unsupported(
            APPARMOR,
            "this runtime loads no profiles",
        )),
    }
}
