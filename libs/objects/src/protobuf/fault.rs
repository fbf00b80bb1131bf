//! What is wrong, and where: the place is put together on the way out, so that it costs nothing where all is well.

/// Something that is not what it should be.
#[derive(Debug)]
pub(super) struct Fault {
    /// Fields that lead there, the innermost first.
    path: Vec<String>,
    what: String,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            what: what.into(),
        }
    }

    /// It is in this field.
    #[must_use]
    pub(super) fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    /// It is in this type: the whole path, and what is wrong.
    pub(super) fn of(self, name: &str) -> (String, String) {
        let mut fault = self.within(name);
        fault.path.reverse();
        (fault.path.join("."), fault.what)
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Self {
        Self::new(what)
    }
}
