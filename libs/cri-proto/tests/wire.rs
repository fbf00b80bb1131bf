//! Encodings as Kubernetes' own clients write them, where numbers do not follow the order of the fields.

use orlop_cri_proto::{
    prost::Message,
    runtime::{
        AuthConfig, ContainerConfig, ContainerStatus, ExecRequest, ImageSpec, Int64Value,
        LinuxContainerResources, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, Mount,
        MountPropagation, Namespace, NamespaceMode, NamespaceOption, PsiData, SecurityProfile,
        Signal, SupplementalGroupsPolicy, security_profile::ProfileType,
    },
};

fn check(message: &impl Message, expect: &[u8]) {
    assert_eq!(message.encode_to_vec(), expect);
}

#[test]
fn fields_whose_numbers_are_out_of_order() {
    check(
        &LinuxContainerSecurityContext {
            run_as_user: Some(Int64Value { value: 1 }),
            run_as_username: "u".into(),
            no_new_privs: true,
            run_as_group: Some(Int64Value { value: 2 }),
            masked_paths: vec!["/a".into()],
            readonly_paths: vec!["/b".into()],
            seccomp: Some(SecurityProfile {
                profile_type: ProfileType::Localhost.into(),
                localhost_ref: "/p".into(),
            }),
            apparmor: Some(SecurityProfile::default()),
            supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
            ..LinuxContainerSecurityContext::default()
        },
        b"\x2a\x02\x08\x01\x32\x01u\x58\x01\x62\x02\x08\x02\x6a\x02/a\x72\x02/b\
          \x7a\x06\x08\x02\x12\x02/p\x82\x01\x00\x88\x01\x01",
    );
    check(
        &LinuxSandboxSecurityContext {
            privileged: true,
            run_as_group: Some(Int64Value { value: 3 }),
            seccomp: Some(SecurityProfile::default()),
            apparmor: Some(SecurityProfile::default()),
            supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
            ..LinuxSandboxSecurityContext::default()
        },
        b"\x30\x01\x42\x02\x08\x03\x4a\x00\x52\x00\x58\x01",
    );
    check(
        &Namespace {
            options: Some(NamespaceOption {
                network: NamespaceMode::Node.into(),
                pid: NamespaceMode::Target.into(),
                ..NamespaceOption::default()
            }),
        },
        b"\x12\x04\x08\x02\x10\x03",
    );
    check(
        &ImageSpec {
            image: "a".into(),
            user_specified_image: "b".into(),
            runtime_handler: "c".into(),
            image_ref: "d".into(),
            ..ImageSpec::default()
        },
        b"\x0a\x01a\x92\x01\x01b\x9a\x01\x01c\xa2\x01\x01d",
    );
}

#[test]
fn what_newer_kubelets_send() {
    check(
        &ContainerConfig {
            stop_signal: Signal::Sigterm.into(),
            ..ContainerConfig::default()
        },
        b"\x90\x01\x17",
    );
    check(
        &ContainerStatus {
            stop_signal: Signal::Sigrtmax.into(),
            ..ContainerStatus::default()
        },
        b"\x98\x01\x41",
    );
    check(
        &Mount {
            propagation: MountPropagation::PropagationBidirectional.into(),
            recursive_read_only: true,
            image: Some(ImageSpec::default()),
            image_sub_path: "s".into(),
            ..Mount::default()
        },
        b"\x28\x02\x40\x01\x4a\x00\x52\x01s",
    );
    check(
        &LinuxContainerResources {
            memory_swap_limit_in_bytes: -1,
            ..LinuxContainerResources::default()
        },
        b"\x50\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    );
    check(
        &ExecRequest {
            stderr: true,
            audit_request_id: "r".into(),
            ..ExecRequest::default()
        },
        b"\x30\x01\x3a\x01r",
    );
    check(
        &PsiData {
            total: 1,
            avg10: 0.5,
            ..PsiData::default()
        },
        b"\x08\x01\x11\x00\x00\x00\x00\x00\x00\xe0\x3f",
    );
}

#[test]
fn credentials_are_not_printed() {
    let auth = AuthConfig {
        username: "user".into(),
        password: "hunter2".into(),
        registry_token: "bearer".into(),
        ..AuthConfig::default()
    };
    let printed = format!("{auth:?}");
    assert!(printed.contains("user"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(!printed.contains("bearer"), "{printed}");
}
