//! Every bound of the parser, each with the reason for its number. What meets a bound is a problem
//! with a position, never a silent cut.

/// Largest machine config, in bytes. A config with long certificate lists is about 30 KiB; the
/// bound is what a maintenance-mode node must be able to hold three times over in 192 MiB.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Deepest nesting of lists and mappings. The deepest path of the known kinds has 6 levels; the
/// bound only has to keep recursion small.
pub const MAX_DEPTH: usize = 64;

/// Most YAML documents in one config: the four kinds that come once, and [`MAX_LINKS`].
pub const MAX_DOCUMENTS: usize = 160;

/// Most nodes (scalars, lists and mappings) of a config after aliases are expanded.
pub const MAX_NODES: usize = 65_536;

/// Most bytes of scalar text after aliases are expanded: four times [`MAX_BYTES`], so that reuse of
/// a certificate by alias is fine and a bomb is not.
pub const MAX_EXPANDED_BYTES: usize = 4 * MAX_BYTES;

/// Most problems that are reported in full; the rest is counted.
pub const MAX_PROBLEMS: usize = 64;

/// Longest piece of the user's text that a message repeats, in characters.
pub const MAX_QUOTED: usize = 60;

/// Most `Link` documents.
pub const MAX_LINKS: usize = 128;

/// Most addresses of one link.
pub const MAX_ADDRESSES: usize = 64;

/// Most routes of one link.
pub const MAX_ROUTES: usize = 256;

/// Most kernel modules, and most parameters of one module.
pub const MAX_MODULES: usize = 128;

/// Most sysctls.
pub const MAX_SYSCTLS: usize = 512;

/// Most node labels.
pub const MAX_LABELS: usize = 128;

/// Most node taints.
pub const MAX_TAINTS: usize = 64;

/// Most registries with mirrors or credentials, and most mirror endpoints of one registry.
pub const MAX_REGISTRIES: usize = 64;

/// Most extra names in the certificate of the machine API.
pub const MAX_CERT_SANS: usize = 64;

/// Most pod CIDRs, and most service CIDRs: one per address family, as in Kubernetes' dual stack.
pub const MAX_CIDRS: usize = 2;

/// Most options of one component.
pub const MAX_OPTIONS: usize = 256;

/// Most nameservers: what resolv.conf(5) (MAXNS) and Kubernetes pods use.
pub const MAX_NAMESERVERS: usize = 3;

/// Most search domains: Kubernetes' bound for pods.
pub const MAX_SEARCH_DOMAINS: usize = 32;

/// Most time servers.
pub const MAX_TIME_SERVERS: usize = 16;
