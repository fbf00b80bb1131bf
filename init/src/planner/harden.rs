//! Sysctls that the kernel self-protection project recommends, as one table, and which keys of a plan
//! may be applied where.
//!
//! Left out on purpose: `user.max_user_namespaces=0` (pods with user namespaces need them) and
//! `net.ipv4.ip_forward` (the network service owns it).

/// Keys and values, applied in this order. A key that the running kernel does not have is left out.
pub(crate) const SYSCTLS: &[(&str, &str)] = &[
    // Addresses and logs of the kernel are for root only.
    ("kernel.kptr_restrict", "2"),
    ("kernel.dmesg_restrict", "1"),
    // No profiling, tracing or debugging across processes without the capability.
    ("kernel.perf_event_paranoid", "3"),
    ("kernel.yama.ptrace_scope", "1"),
    ("kernel.unprivileged_bpf_disabled", "1"),
    ("net.core.bpf_jit_harden", "2"),
    ("vm.unprivileged_userfaultfd", "0"),
    ("dev.tty.ldisc_autoload", "0"),
    ("dev.tty.legacy_tiocsti", "0"),
    // There is nobody at the keyboard to debug the kernel, and no second kernel to jump to.
    ("kernel.sysrq", "0"),
    ("kernel.kexec_load_disabled", "1"),
    // An oops leaves the kernel in doubt: reset, and let the boot counter decide.
    ("kernel.panic_on_oops", "1"),
    ("kernel.oops_limit", "1"),
    // Links and fifos in world-writable directories.
    ("fs.protected_symlinks", "1"),
    ("fs.protected_hardlinks", "1"),
    ("fs.protected_fifos", "2"),
    ("fs.protected_regular", "2"),
    ("fs.suid_dumpable", "0"),
    // Nothing may be mapped at address zero; full randomisation.
    ("vm.mmap_min_addr", "65536"),
    ("vm.mmap_rnd_bits", "32"),
    ("kernel.randomize_va_space", "2"),
    // Network defaults that no pod needs otherwise.
    ("net.ipv4.tcp_syncookies", "1"),
    ("net.ipv4.tcp_rfc1337", "1"),
    ("net.ipv4.icmp_echo_ignore_broadcasts", "1"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.all.accept_source_route", "0"),
    ("net.ipv4.conf.default.accept_source_route", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
];

/// Path below `/proc/sys` of a key with dots, or None for one that would leave that directory. As in
/// sysctl(8) a `/` in the key stands for a dot in a name (an interface "eth0.7").
pub(crate) fn path(key: &str) -> Option<String> {
    let valid = !key.is_empty()
        && key.len() <= 256
        && key
            .split(['.', '/'])
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()));
    if !valid {
        return None;
    }
    let swapped: String = key
        .chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect();
    (!swapped.split('/').any(|part| part == "." || part == ".."))
        .then(|| format!("/proc/sys/{swapped}"))
}

/// Whether a sandboxed node may set this key: only what belongs to its network namespace.
pub(crate) fn allowed_in_sandbox(key: &str) -> bool {
    key.starts_with("net.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_table_has_a_path_and_is_there_once() {
        for (at, (key, _)) in SYSCTLS.iter().enumerate() {
            assert!(path(key).is_some(), "{key}");
            assert!(SYSCTLS[..at].iter().all(|(other, _)| other != key), "{key}");
        }
    }

    #[test]
    fn keys_never_leave_proc_sys() {
        assert_eq!(
            path("net.ipv4.conf.eth0/7.forwarding").as_deref(),
            Some("/proc/sys/net/ipv4/conf/eth0.7/forwarding")
        );
        for hostile in ["", "..", "a..b", "a.//.b", "../../etc", "a b", "/"] {
            assert_eq!(path(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn a_sandbox_touches_its_network_only() {
        assert!(allowed_in_sandbox("net.ipv4.ip_forward"));
        assert!(!allowed_in_sandbox("kernel.panic"));
    }
}
