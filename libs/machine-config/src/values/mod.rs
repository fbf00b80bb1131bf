//! The small types of a config's fields: text that is parsed once and cannot be wrong afterwards.
//!
//! Each has a format name that the JSON Schema carries. The checker finds the same parser by that
//! name in [`FORMATS`], so that a bad value is reported with its position before serde sees it.

mod address;
mod glob;
mod names;
mod quantity;
mod secret_text;
mod url;

pub use address::{InterfaceAddress, Network};
pub use glob::{Glob, MacGlob};
pub use names::{
    DiskPath, DomainName, FlagName, Host, Hostname, LabelKey, LabelValue, ModuleName,
    ModuleParameter, RegistryHost, ResourceName, SysctlName, Text,
};
pub use quantity::{ByteSize, Span};
pub use secret_text::{
    BOOTSTRAP_TOKEN, CERTIFICATE, CertificatePem, ENCRYPTION_KEY, JOIN_TOKEN, PRIVATE_KEY,
};
pub use url::{Endpoint, HttpUrl};

/// A named check of text: `Err` says what is wrong without repeating the text.
#[derive(Debug)]
pub(crate) struct Format {
    /// The `format` of the JSON Schema.
    pub(crate) name: &'static str,
    /// What the text has to be, for the reference page and as a hint.
    pub(crate) about: &'static str,
    pub(crate) check: fn(&str) -> Result<(), String>,
}

/// Text with a format: implemented through [`text_type!`].
pub(crate) trait TextValue: Sized {
    const FORMAT: &'static str;
    const ABOUT: &'static str;

    fn parse(text: &str) -> Result<Self, String>;
}

const fn of<T: TextValue>() -> Format {
    Format {
        name: T::FORMAT,
        about: T::ABOUT,
        check: |text| T::parse(text).map(drop),
    }
}

/// Every format that a schema of this crate may name.
pub(crate) const FORMATS: &[Format] = &[
    of::<InterfaceAddress>(),
    of::<Network>(),
    of::<Glob>(),
    of::<MacGlob>(),
    of::<DiskPath>(),
    of::<DomainName>(),
    of::<FlagName>(),
    of::<Host>(),
    of::<Hostname>(),
    of::<LabelKey>(),
    of::<LabelValue>(),
    of::<ModuleName>(),
    of::<ModuleParameter>(),
    of::<RegistryHost>(),
    of::<ResourceName>(),
    of::<SysctlName>(),
    of::<Text>(),
    of::<ByteSize>(),
    of::<Span>(),
    of::<CertificatePem>(),
    of::<Endpoint>(),
    of::<HttpUrl>(),
    secret_text::PRIVATE_KEY_FORMAT,
    secret_text::JOIN_TOKEN_FORMAT,
    secret_text::BOOTSTRAP_TOKEN_FORMAT,
    secret_text::ENCRYPTION_KEY_FORMAT,
    Format {
        name: "ip",
        about: "an IPv4 or IPv6 address, such as 10.0.0.2 or 2001:db8::2",
        check: address::check_ip,
    },
];

/// The format with this name.
pub(crate) fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Serde, schema and text conversions of a [`TextValue`] whose `Display` prints what it parses.
macro_rules! text_type {
    ($type:ty) => {
        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                <Self as $crate::values::TextValue>::parse(text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                <Self as $crate::values::TextValue>::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": <Self as $crate::values::TextValue>::FORMAT,
                })
            }
        }
    };
}

/// A newtype over `String` with a check: `string_type!(Name, "format", "about", check)`.
macro_rules! string_type {
    ($(#[$doc:meta])* $name:ident, $format:literal, $about:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $crate::values::TextValue for $name {
            const FORMAT: &'static str = $format;
            const ABOUT: &'static str = $about;

            fn parse(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        $crate::values::text_type!($name);
    };
}

pub(crate) use {string_type, text_type};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_names_are_unique() {
        let mut names: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FORMATS.len());
    }
}
