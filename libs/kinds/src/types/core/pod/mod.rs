//! Pods.
//!
//! ```text
//!   spec ── containers, volumes, scheduling, security       shared with templates (template.rs)
//!   mod  ── the pod itself: what an update may change, its status, what `kubectl get` shows
//! ```

pub mod defaults;
pub mod image;
pub mod spec;
pub mod template;

use serde_json::Value;

use crate::{rules::Rules, value::Fields};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: fill,
    ..Rules::NONE
};

fn fill(pod: &mut Value) {
    defaults::pod(pod);
    if let Some(spec) = pod.object_mut("spec") {
        defaults::spec(spec);
    }
}
