//! etcd's messages and services as data.

use prost_reflect::{DescriptorPool, MethodDescriptor};
use std::sync::LazyLock;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(etcd_proto::DESCRIPTORS).expect("the build made them from our .proto")
});

/// A method by the names of its service, as in `etcdserverpb.KV`, and of itself.
#[must_use]
pub fn method(service: &str, method: &str) -> Option<MethodDescriptor> {
    let service = POOL.get_service_by_name(service)?;
    service.methods().find(|known| known.name() == method)
}
