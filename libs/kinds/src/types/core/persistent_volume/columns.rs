//! What `kubectl get persistentvolumes` shows.

use super::{access_modes_short, claim};
use crate::{
    rules::{AGE, Column, NAME},
    value::Fields,
};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Capacity", "string", "How much it holds.", |volume, _| {
        let capacity = volume.part("spec").part("capacity").quantity("storage");
        capacity.unwrap_or_default().to_string().into()
    }),
    Column::new(
        "Access Modes",
        "string",
        "How it can be mounted.",
        |volume, _| access_modes_short(volume.part("spec")).into(),
    ),
    Column::new(
        "Reclaim Policy",
        "string",
        "What becomes of it when its claim is gone.",
        |volume, _| {
            volume
                .part("spec")
                .text("persistentVolumeReclaimPolicy")
                .into()
        },
    ),
    Column::new(
        "Status",
        "string",
        "Whether it is bound to a claim.",
        |volume, _| {
            if volume.part("metadata").has("deletionTimestamp") {
                return "Terminating".into();
            }
            volume.part("status").text("phase").into()
        },
    ),
    Column::new(
        "Claim",
        "string",
        "The claim that it is bound to.",
        |volume, _| match volume.part("spec").field("claimRef") {
            Some(claim) => format!("{}/{}", claim.text("namespace"), claim.text("name")).into(),
            None => "".into(),
        },
    ),
    Column::new("StorageClass", "string", "Its class.", |volume, _| {
        claim::class(volume).into()
    }),
    Column::new(
        "VolumeAttributesClass",
        "string",
        "Its class of attributes.",
        |volume, _| claim::or_unset(volume, "volumeAttributesClassName"),
    ),
    Column::new(
        "Reason",
        "string",
        "Why it is in its status.",
        |volume, _| volume.part("status").text("reason").into(),
    ),
    AGE,
    Column::new(
        "VolumeMode",
        "string",
        "A file system or a block device.",
        |volume, _| claim::or_unset(volume, "volumeMode"),
    )
    .wide(),
];
