//! Limits that are changed while a container or sandbox is there: kubelets resize pods in place.

use super::{Pods, PodsError, blocking};
use crate::{
    executor::{
        keeper::bundle,
        limits::{self, LimitsError},
    },
    planner::{records::ContainerState, spec},
};
use cri_proto::runtime::LinuxContainerResources;

impl Pods {
    /// Changes a container's limits. As with containerd, one that does not run gets them when it is started, and of one that has ended
    /// they are noted only.
    ///
    /// # Errors
    /// [`PodsError`]; nothing has changed.
    pub async fn update_container(
        &self,
        id: &str,
        asked: &LinuxContainerResources,
    ) -> Result<(), PodsError> {
        let entry = self.known_container(id)?;
        let _turn = entry.turn.lock().await;
        let record = entry.record();
        let host = &self.0.host;
        let mut linux = record.config.linux.clone().unwrap_or_default();
        let after = spec::update(&linux.resources.clone().unwrap_or_default(), asked);
        let limits = spec::limits(&after, host.cgroup_v2, host.swap_accounting)?;
        match record.state {
            ContainerState::Making => {
                return Err(PodsError::FailedPrecondition(format!(
                    "container {:?} is not made yet",
                    record.id
                )));
            }
            ContainerState::Created => {
                let bundle = self.0.bundle(&record.id);
                blocking(move || {
                    bundle::set_limits(&bundle, &limits)
                        .map_err(PodsError::at("write a container's bundle"))
                })
                .await?;
            }
            ContainerState::Running { .. } => {
                let (cgroup, v2) = (record.cgroup.clone(), host.cgroup_v2);
                let id = record.id.clone();
                blocking(move || {
                    limits::apply(&cgroup, &limits, v2).map_err(|error| refused(&id, &error))
                })
                .await?;
            }
            ContainerState::Exited { .. } => {}
        }
        linux.resources = Some(after);
        entry.lock().config.linux = Some(linux);
        self.write_container(&entry.record())
    }

    /// Notes what a kubelet has given a pod. The pod's cgroup is the kubelet's own, and so nothing is done here.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn update_sandbox(
        &self,
        id: &str,
        overhead: Option<LinuxContainerResources>,
        resources: Option<LinuxContainerResources>,
    ) -> Result<(), PodsError> {
        let entry = self.known_sandbox(id)?;
        let _turn = entry.turn.lock().await;
        {
            let mut record = entry.lock();
            let linux = record.config.linux.get_or_insert_default();
            if overhead.is_some() {
                linux.overhead = overhead;
            }
            if resources.is_some() {
                linux.resources = resources;
            }
        }
        self.keep_sandbox(&entry.record())
    }
}

fn refused(id: &str, error: &LimitsError) -> PodsError {
    let text = format!("failed to update container {id:?}: {error}");
    match error {
        LimitsError::Missing(_) | LimitsError::Below { .. } => PodsError::FailedPrecondition(text),
        LimitsError::Io { source, .. } => match source.raw_os_error() {
            Some(libc::EBUSY) => PodsError::FailedPrecondition(text),
            Some(libc::EINVAL | libc::ERANGE) => PodsError::InvalidArgument(text),
            _ => PodsError::Internal(text),
        },
    }
}
