//! Columns that workloads share: what is in their pod template.

use crate::{cells, rules::Column, value::Fields};

/// Names of the template's containers.
pub(crate) const CONTAINERS: Column = Column::new(
    "Containers",
    "string",
    "Names of the template's containers.",
    |object, _| cells::container_names(object.part("spec").part("template").part("spec")),
)
.wide();

/// Images of the template's containers.
pub(crate) const IMAGES: Column = Column::new(
    "Images",
    "string",
    "Images of the template's containers.",
    |object, _| cells::container_images(object.part("spec").part("template").part("spec")),
)
.wide();

/// The selector of pods.
pub(crate) const SELECTOR: Column = Column::new(
    "Selector",
    "string",
    "Labels of the pods that are meant.",
    |object, _| cells::selector(object.part("spec").part("selector")),
)
.wide();
