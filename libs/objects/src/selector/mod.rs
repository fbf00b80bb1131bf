//! Selectors: which objects of many are meant.
//!
//! - [`LabelSelector`] is read from text (`a=b,c in (d,e),!f`) or from an object (`matchLabels`, `matchExpressions`) and
//!   matches labels.
//! - [`FieldSelector`] is read from text (`metadata.name=x,spec.nodeName!=`) and matches what a kind offers as fields.
//!
//! Neither has more than [`TERMS_MAX`] terms, since each is met with every object of a list.
//!
//! ```
//! use orlop_objects::selector::LabelSelector;
//! use serde_json::json;
//!
//! let selector = LabelSelector::parse("tier in (web,api), !canary")?;
//! let labels = json!({"tier": "web"});
//! assert!(selector.matches(labels.as_object()));
//! # Ok::<(), orlop_objects::selector::SelectorError>(())
//! ```

mod field;
mod label;
mod object;
mod parser;
mod requirement;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use field::{FieldSelector, FieldTerm, Unsupported};
pub use label::LabelSelector;
pub use object::{SelectorOptions, validate_label_selector};
pub use requirement::{Operator, Requirement};

/// Most requirements and values of one selector. Upstream has no bound but that of a request's line.
pub const TERMS_MAX: usize = 2_000;

/// A text that is no selector, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);

impl SelectorError {
    fn too_many_terms() -> Self {
        SelectorError(format!("more than {TERMS_MAX} terms in a selector"))
    }
}

/// Where a selector looks labels up.
pub trait Labels {
    /// The value of a label that is there.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for Map<String, Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl<L: Labels> Labels for &L {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

/// An object without labels has none.
impl<L: Labels> Labels for Option<L> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref()?.label(key)
    }
}
