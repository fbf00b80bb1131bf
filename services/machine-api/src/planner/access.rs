//! Who may call what: the one table of RPCs and roles.

use machine_proto::Rpc;
use pki::{Role, Roles};

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Roles that may; a role that includes one of these may, too.
    pub roles: &'static [Role],
    /// Whether a node in maintenance mode, which cannot tell callers apart, serves it.
    pub maintenance: bool,
}

/// The table. An RPC without its row does not compile.
#[must_use]
pub const fn allowed(rpc: Rpc) -> Access {
    use Role::{Admin, Backup, Operator, Reader};
    let (roles, maintenance): (&[Role], bool) = match rpc {
        Rpc::Version => (&[Reader, Backup], true),
        Rpc::ConfigApply => (&[Admin], true),
        // Secrets in it are for admins only, see `WITH_SECRETS`.
        Rpc::ConfigGet => (&[Reader], false),
        Rpc::BootPhases => (&[Reader], true),
        Rpc::ServiceList => (&[Reader], false),
        Rpc::ServiceStart => (&[Operator], false),
        Rpc::ServiceStop => (&[Operator], false),
        Rpc::ServiceRestart => (&[Operator], false),
        Rpc::ServiceLogs => (&[Reader], false),
        Rpc::Dmesg => (&[Reader], false),
        Rpc::Events => (&[Reader], false),
        // In maintenance mode hardware facts only, see the table of kinds.
        Rpc::ResourceGet => (&[Reader], true),
        Rpc::ResourceList => (&[Reader], true),
        Rpc::ResourceWatch => (&[Reader], false),
        Rpc::Reboot => (&[Operator], false),
        Rpc::Shutdown => (&[Operator], false),
        // Each may hand out what its own roles include.
        Rpc::ClientCertificate => (&[Reader, Backup], false),
    };
    Access { roles, maintenance }
}

/// Who may read the config with its secrets.
pub const WITH_SECRETS: Access = Access {
    roles: &[Role::Admin],
    maintenance: false,
};

impl Access {
    /// Whether a caller with these roles may.
    #[must_use]
    pub fn permits(self, roles: Roles) -> bool {
        let mut wanted = self.roles.iter();
        wanted.any(|wanted| roles.iter().any(|own| own.includes(*wanted)))
    }

    /// The roles that may, for a person: "operator or admin".
    #[must_use]
    pub fn in_words(self) -> String {
        let mut roles: Vec<_> = Role::ALL
            .into_iter()
            .filter(|role| self.permits(Roles::from(*role)))
            .map(Role::name)
            .collect();
        roles.reverse();
        match roles.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "no role".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(roles: &[Role], rpc: Rpc, expect: bool) {
        let roles: Roles = roles.iter().copied().collect();
        assert_eq!(
            allowed(rpc).permits(roles),
            expect,
            "{roles} {}",
            rpc.name()
        );
    }

    #[test]
    fn each_role_has_its_reach() {
        for rpc in Rpc::ALL.iter().copied() {
            check(&[], rpc, false);
            check(&[Role::Admin], rpc, true);
            let acts = matches!(
                rpc,
                Rpc::ServiceStart
                    | Rpc::ServiceStop
                    | Rpc::ServiceRestart
                    | Rpc::Reboot
                    | Rpc::Shutdown
            );
            let configures = rpc == Rpc::ConfigApply;
            check(&[Role::Operator], rpc, !configures);
            check(&[Role::Reader], rpc, !configures && !acts);
            let own = matches!(rpc, Rpc::Version | Rpc::ClientCertificate);
            check(&[Role::Backup], rpc, own);
        }
        assert!(!WITH_SECRETS.permits(Roles::from(Role::Operator)));
    }

    #[test]
    fn maintenance_mode_serves_facts_and_takes_a_config_only() {
        let served: Vec<_> = Rpc::ALL
            .iter()
            .filter(|rpc| allowed(**rpc).maintenance)
            .map(|rpc| rpc.name())
            .collect();
        assert_eq!(
            served,
            [
                "Version",
                "ConfigApply",
                "BootPhases",
                "ResourceGet",
                "ResourceList"
            ]
        );
    }

    #[test]
    fn words() {
        assert_eq!(allowed(Rpc::ConfigApply).in_words(), "admin");
        assert_eq!(allowed(Rpc::Reboot).in_words(), "operator or admin");
        assert_eq!(allowed(Rpc::Dmesg).in_words(), "reader, operator or admin");
    }
}
