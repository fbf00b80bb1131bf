//! The order of the sources, and when the search ends.
//!
//! ```text
//!   order: Pending, STATE, ESP, fw_cfg, SMBIOS, NoCloud, URL        (sandboxed: Pending, STATE, file)
//!
//!   Nothing ──> next source                   Unusable(why) ──> note, next source
//!   Config  ──> ends: valid or not            ends of the list ──> maintenance mode with all notes
//! ```
//!
//! A config that is there and is not valid ends the search: going on would give the machine an older
//! or foreign config without a word. A source that cannot be read at all (a torn STATE with no whole
//! generation, a damaged volume) is noted and passed over, since a machine that was reset or lost
//! its disk shall come up from the config that it was first given.

use init_proto::plan::ConfigSource;

/// A place where a config may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceId {
    /// Given over the API, not yet on STATE.
    Pending,
    /// STATE partition.
    State,
    /// `orlop.yaml` on the ESP.
    Esp,
    /// QEMU fw_cfg.
    FwCfg,
    /// SMBIOS OEM strings.
    Smbios,
    /// NoCloud volume.
    NoCloud,
    /// URL on the kernel command line.
    Url,
    /// File injected into a sandboxed node.
    Sandbox,
}

impl SourceId {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "the config given over the API",
            Self::State => "STATE",
            Self::Esp => "orlop.yaml on the ESP",
            Self::FwCfg => "QEMU fw_cfg",
            Self::Smbios => "SMBIOS OEM strings",
            Self::NoCloud => "NoCloud volume",
            Self::Url => "URL on the kernel command line",
            Self::Sandbox => "the sandbox's config file",
        }
    }

    /// Its name in the plan.
    #[must_use]
    pub const fn config_source(self) -> ConfigSource {
        match self {
            Self::Pending => ConfigSource::Pending,
            Self::State => ConfigSource::State,
            Self::Esp => ConfigSource::Esp,
            Self::FwCfg => ConfigSource::FwCfg,
            Self::Smbios => ConfigSource::Smbios,
            Self::NoCloud => ConfigSource::NoCloud,
            Self::Url => ConfigSource::Url,
            Self::Sandbox => ConfigSource::Sandbox,
        }
    }
}

/// Sources in the order of search. A sandboxed node looks at nothing that belongs to the host.
#[must_use]
pub(crate) const fn order(sandboxed: bool) -> &'static [SourceId] {
    if sandboxed {
        &[SourceId::Pending, SourceId::State, SourceId::Sandbox]
    } else {
        &[
            SourceId::Pending,
            SourceId::State,
            SourceId::Esp,
            SourceId::FwCfg,
            SourceId::Smbios,
            SourceId::NoCloud,
            SourceId::Url,
        ]
    }
}

/// What a source holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// No config.
    Nothing,
    /// A config, valid or not.
    Config(Vec<u8>),
    /// Where the config is to be fetched from.
    Url(String),
    /// Something that cannot be read; why.
    Unusable(String),
}

/// The search, and after it its result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Search {
    /// The source that ended the search, with its content.
    pub(crate) found: Option<(SourceId, Content)>,
    /// Sources that were passed over, and why.
    pub(crate) notes: Vec<String>,
    /// What may stand in the URL of the config; empty where none is wanted.
    pub(crate) hardware: Hardware,
}

/// Names of the machine that only root can read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hardware {
    /// SMBIOS UUID.
    pub(crate) uuid: Option<String>,
    /// SMBIOS serial number.
    pub(crate) serial: Option<String>,
}

impl Search {
    /// Takes the next source's content. True: the search is over.
    pub(crate) fn take(&mut self, source: SourceId, content: Content) -> bool {
        match content {
            Content::Nothing => false,
            Content::Unusable(why) => {
                self.notes.push(format!("{}: {why}", source.name()));
                false
            }
            content @ (Content::Config(_) | Content::Url(_)) => {
                self.found = Some((source, content));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(contents: &[(SourceId, Content)], found: Option<SourceId>, notes: usize) {
        let mut search = Search::default();
        for (source, content) in contents {
            if search.take(*source, content.clone()) {
                break;
            }
        }
        assert_eq!(search.found.as_ref().map(|(source, _)| *source), found);
        assert_eq!(search.notes.len(), notes, "{:?}", search.notes);
    }

    #[test]
    fn the_first_config_wins_and_the_unusable_is_noted() {
        let config = || Content::Config(b"x".to_vec());
        check(&[(SourceId::State, Content::Nothing)], None, 0);
        check(
            &[
                (SourceId::State, Content::Unusable("torn".into())),
                (SourceId::FwCfg, config()),
                (SourceId::NoCloud, config()),
            ],
            Some(SourceId::FwCfg),
            1,
        );
    }

    #[test]
    fn a_sandbox_looks_at_nothing_of_the_host() {
        for source in order(true) {
            assert!(matches!(
                source,
                SourceId::Pending | SourceId::State | SourceId::Sandbox
            ));
        }
        assert!(!order(false).contains(&SourceId::Sandbox));
    }
}
