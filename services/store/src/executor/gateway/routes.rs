//! etcd's paths under `/v3/` (the annotations of its `rpc.proto`).

/// Path, service, method. All are asked by POST.
const ROUTES: &[(&str, &str, &str)] = &[
    ("/v3/kv/range", "KV", "Range"),
    ("/v3/kv/put", "KV", "Put"),
    ("/v3/kv/deleterange", "KV", "DeleteRange"),
    ("/v3/kv/txn", "KV", "Txn"),
    ("/v3/kv/compaction", "KV", "Compact"),
    ("/v3/watch", "Watch", "Watch"),
    ("/v3/lease/grant", "Lease", "LeaseGrant"),
    ("/v3/lease/revoke", "Lease", "LeaseRevoke"),
    ("/v3/kv/lease/revoke", "Lease", "LeaseRevoke"),
    ("/v3/lease/keepalive", "Lease", "LeaseKeepAlive"),
    ("/v3/lease/timetolive", "Lease", "LeaseTimeToLive"),
    ("/v3/kv/lease/timetolive", "Lease", "LeaseTimeToLive"),
    ("/v3/lease/leases", "Lease", "LeaseLeases"),
    ("/v3/kv/lease/leases", "Lease", "LeaseLeases"),
    ("/v3/cluster/member/add", "Cluster", "MemberAdd"),
    ("/v3/cluster/member/remove", "Cluster", "MemberRemove"),
    ("/v3/cluster/member/update", "Cluster", "MemberUpdate"),
    ("/v3/cluster/member/list", "Cluster", "MemberList"),
    ("/v3/cluster/member/promote", "Cluster", "MemberPromote"),
    ("/v3/maintenance/alarm", "Maintenance", "Alarm"),
    ("/v3/maintenance/status", "Maintenance", "Status"),
    ("/v3/maintenance/defragment", "Maintenance", "Defragment"),
    // etcd 3.5 has both hashes on one path, where the second is never reached; 3.6 has the other.
    ("/v3/maintenance/hash", "Maintenance", "Hash"),
    ("/v3/maintenance/hashkv", "Maintenance", "HashKV"),
    ("/v3/maintenance/snapshot", "Maintenance", "Snapshot"),
    (
        "/v3/maintenance/transfer-leadership",
        "Maintenance",
        "MoveLeader",
    ),
    ("/v3/maintenance/downgrade", "Maintenance", "Downgrade"),
    ("/v3/auth/enable", "Auth", "AuthEnable"),
    ("/v3/auth/disable", "Auth", "AuthDisable"),
    ("/v3/auth/status", "Auth", "AuthStatus"),
    ("/v3/auth/authenticate", "Auth", "Authenticate"),
    ("/v3/auth/user/add", "Auth", "UserAdd"),
    ("/v3/auth/user/get", "Auth", "UserGet"),
    ("/v3/auth/user/list", "Auth", "UserList"),
    ("/v3/auth/user/delete", "Auth", "UserDelete"),
    ("/v3/auth/user/changepw", "Auth", "UserChangePassword"),
    ("/v3/auth/user/grant", "Auth", "UserGrantRole"),
    ("/v3/auth/user/revoke", "Auth", "UserRevokeRole"),
    ("/v3/auth/role/add", "Auth", "RoleAdd"),
    ("/v3/auth/role/get", "Auth", "RoleGet"),
    ("/v3/auth/role/list", "Auth", "RoleList"),
    ("/v3/auth/role/delete", "Auth", "RoleDelete"),
    ("/v3/auth/role/grant", "Auth", "RoleGrantPermission"),
    ("/v3/auth/role/revoke", "Auth", "RoleRevokePermission"),
];

/// Service, as gRPC names it, and method of a path.
pub(super) fn route(path: &str) -> Option<(String, &'static str)> {
    let (_, service, method) = ROUTES.iter().find(|(known, _, _)| *known == path)?;
    Some((format!("etcdserverpb.{service}"), method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::descriptors;

    #[test]
    fn every_path_leads_to_a_method() {
        for (path, _, _) in ROUTES {
            let (service, method) = route(path).expect("a known path");
            assert!(descriptors::method(&service, method).is_some(), "{path}");
        }
    }
}
