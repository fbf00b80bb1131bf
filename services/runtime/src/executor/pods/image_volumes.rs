//! Images as volumes: another image's layers, read-only, in `BUNDLE/images/N` for the container's N-th mount.

use super::{
    super::images::{Hold, overlay},
    Pods, PodsError, blocking, text,
    users::{self, Users},
};
use crate::planner::images::digest::Digest;
use cri_proto::runtime::ContainerConfig;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::{
    fs,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

/// What is behind mounts of images.
#[derive(Debug, Default)]
pub(super) struct ImageVolumes {
    /// For each mount of the container; None: it is of none.
    pub paths: Vec<Option<PathBuf>>,
    /// The layers must stay as long as the container.
    pub holds: Vec<Hold>,
    /// The same, for the next runtime.
    pub layers: Vec<Digest>,
}

impl Pods {
    /// Mounts the images that a container wants as volumes. They are pulled before, by whoever wants them.
    pub(super) async fn image_volumes(
        &self,
        config: &ContainerConfig,
        bundle: &Path,
        users: Option<&Users>,
    ) -> Result<ImageVolumes, PodsError> {
        let mut all = ImageVolumes::default();
        for (number, mount) in config.mounts.iter().enumerate() {
            let Some(image) = &mount.image else {
                if !mount.image_sub_path.is_empty() {
                    return Err(PodsError::InvalidArgument(
                        "Mount.image_sub_path is not valid: the mount is of no image".to_owned(),
                    ));
                }
                all.paths.push(None);
                continue;
            };
            let details = self.0.images.details(&image.image).await?;
            let record = details.image.record;
            let snapshot = self.0.images.snapshot(&record.id.to_string())?;
            let (lower, bundle) = (snapshot.lower, bundle.to_owned());
            let (users, below) = (users.cloned(), mount.image_sub_path.clone());
            let path = blocking(move || {
                let place = bundle.join("images").join(number.to_string());
                mount_image(lower, &place, &bundle, users.as_ref())?;
                within(&place, &below)
            });
            all.paths.push(Some(path.await?));
            all.holds.push(snapshot.hold);
            all.layers.extend(record.chain_ids);
        }
        Ok(all)
    }
}

fn mount_image(
    mut lower: Vec<PathBuf>,
    place: &Path,
    bundle: &Path,
    users: Option<&Users>,
) -> Result<(), PodsError> {
    let failed = || PodsError::at("mount an image as a volume");
    fs::create_dir_all(place).map_err(failed())?;
    // overlayfs wants two where there is nothing to write to.
    for name in ["empty-1", "empty-2"] {
        if lower.len() < 2 {
            let empty = bundle.join(name);
            fs::create_dir_all(&empty).map_err(failed())?;
            lower.push(empty);
        }
    }
    match users {
        Some(users) => users::mount_mapped(&lower, None, place, bundle, users),
        None => overlay::mount(&lower, None, place).map_err(failed()),
    }
}

/// A path in the image, whose links stay within it.
fn within(place: &Path, below: &str) -> Result<PathBuf, PodsError> {
    if below.is_empty() {
        return Ok(place.to_owned());
    }
    let refused = |why: &dyn std::fmt::Display| {
        PodsError::InvalidArgument(format!(
            "Mount.image_sub_path {below:?} is not valid: {why}"
        ))
    };
    if Path::new(below).is_absolute() || below.contains('\0') {
        return Err(refused(&"it is no relative path"));
    }
    let root = rustix::fs::open(
        place,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| PodsError::at(format!("open {}", text(place)))(error.into()))?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(&root, below, flags, Mode::empty(), resolve)
        .map_err(|error| refused(&format!("{error} in the image")))?;
    fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
        .map_err(PodsError::at("find an image's path"))
}
