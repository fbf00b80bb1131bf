//! Who a peer is, by its certificate: common name, and roles as organizations.
//!
//! The caller has verified the certificate's chain; this file only reads it.

use std::fmt;
use std::str::FromStr;

use crate::PkiError;
use crate::certificate::parsed;

/// What a client of the machine API may do. The API's table says which calls each role may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Everyday operation: services, reboot, upgrades; no secrets.
    Operator,
    /// Look, don't touch; no secrets.
    Reader,
    /// Take backups of the cluster store, nothing else.
    Backup,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Operator, Self::Reader, Self::Backup];

    /// The role's name: `admin`, `operator`, `reader`, `backup`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Reader => "reader",
            Self::Backup => "backup",
        }
    }

    /// The organization that carries the role in a certificate, such as `orlop:admin`.
    #[must_use]
    pub fn organization(self) -> String {
        format!("{ORGANIZATION_PREFIX}{}", self.name())
    }

    /// Whether the role includes what `other` may do, so that its holder may hand `other` out.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => matches!(other, Self::Operator | Self::Reader),
            Self::Reader | Self::Backup => self == other,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Admin => 1,
            Self::Operator => 2,
            Self::Reader => 4,
            Self::Backup => 8,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = PkiError;

    /// Takes `admin` and `orlop:admin`.
    fn from_str(text: &str) -> Result<Self, PkiError> {
        let name = text.strip_prefix(ORGANIZATION_PREFIX).unwrap_or(text);
        Self::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| PkiError::UnknownRole {
                role: name.chars().take(64).collect(),
            })
    }
}

/// Prefix of the organizations that Orlop gives a meaning to.
const ORGANIZATION_PREFIX: &str = "orlop:";

/// Organization of the certificate by which a control-plane node hands calls on to other nodes. It
/// is no role: the receiver takes the roles of the original caller that come with the call.
pub(crate) const FORWARDER_ORGANIZATION: &str = "orlop:forwarder";

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// Every role.
    #[must_use]
    pub fn all() -> Self {
        Role::ALL.into_iter().collect()
    }

    /// Whether the role is in the set.
    #[must_use]
    pub fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether any role is in both.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The roles that are in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether no role is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every role of `other` is included in one of these ([`Role::includes`]): what the
    /// holder of these may hand out.
    #[must_use]
    pub fn include(self, other: Self) -> bool {
        other
            .iter()
            .all(|wanted| self.iter().any(|own| own.includes(wanted)))
    }

    /// The set without the roles that another role of it includes; at most two are left.
    #[must_use]
    pub fn reduced(self) -> Self {
        let included = |role: Role| {
            let mut others = self.iter().filter(|other| *other != role);
            others.any(|other| other.includes(role))
        };
        self.iter().filter(|role| !included(*role)).collect()
    }

    /// The roles, greatest first.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL
            .into_iter()
            .filter(move |role| self.contains(*role))
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(role.bit())
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

impl fmt::Display for Roles {
    /// `admin,reader`; `none` for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Role::name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

/// Who the holder of a client certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Common name; empty when the certificate has none.
    pub common_name: String,
    /// Roles by organization. Organizations that mean nothing to Orlop give none.
    pub roles: Roles,
    /// Whether it is a control-plane node that hands on the calls of others.
    pub forwarder: bool,
}

impl Identity {
    /// Reads the identity of a verified certificate in DER. A certificate that may not be used by
    /// clients (extended key usage) gives no role.
    ///
    /// # Errors
    /// [`PkiError::X509`] when it is no certificate.
    pub fn of(der: &[u8]) -> Result<Self, PkiError> {
        let certificate = parsed(der)?;
        let mut identity = Self {
            common_name: crate::certificate::common_name(&certificate),
            roles: Roles::NONE,
            forwarder: false,
        };
        let usage = certificate.extended_key_usage();
        let usage = usage.map_err(|_| PkiError::X509 {
            what: "a certificate",
        })?;
        if !usage.is_some_and(|usage| usage.value.client_auth) {
            return Ok(identity);
        }
        let organizations = certificate.subject().iter_organization();
        for organization in organizations.filter_map(|name| name.as_str().ok()) {
            identity.forwarder |= organization == FORWARDER_ORGANIZATION;
            if let Some(role) = Role::ALL
                .into_iter()
                .find(|role| role.organization() == organization)
            {
                identity.roles.0 |= role.bit();
            }
        }
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_lesser_ones_only() {
        let check = |own: Role, includes: &[Role]| {
            let found: Vec<_> = Role::ALL
                .into_iter()
                .filter(|role| own.includes(*role))
                .collect();
            assert_eq!(found, includes, "{own}");
        };
        check(Role::Admin, &Role::ALL);
        check(Role::Operator, &[Role::Operator, Role::Reader]);
        check(Role::Reader, &[Role::Reader]);
        check(Role::Backup, &[Role::Backup]);
        let both: Roles = [Role::Reader, Role::Backup].into_iter().collect();
        assert!(both.include(Roles::from(Role::Backup)));
        assert!(!both.include(Roles::from(Role::Operator)));
        assert!(both.include(Roles::NONE));
        assert!(!Roles::NONE.include(both));
    }

    #[test]
    fn no_set_of_roles_needs_more_than_two_organizations() {
        for bits in 0..16 {
            let roles = Roles(bits);
            let reduced = roles.reduced();
            assert!(reduced.iter().count() <= 2, "{roles}");
            assert!(reduced.include(roles), "{roles}");
        }
        assert_eq!(Roles::all().reduced(), Roles::from(Role::Admin));
    }

    #[test]
    fn roles_print_and_parse() {
        assert_eq!(Roles::all().to_string(), "admin,operator,reader,backup");
        assert_eq!(Roles::NONE.to_string(), "none");
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>().unwrap(), role);
            assert_eq!(role.organization().parse::<Role>().unwrap(), role);
        }
        assert!("root".parse::<Role>().is_err());
        assert!("orlop:forwarder".parse::<Role>().is_err());
    }
}
