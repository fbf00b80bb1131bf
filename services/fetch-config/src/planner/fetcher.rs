//! One attempt after the other, until `init` has taken a config.
//!
//! ```text
//!   Begin ──> Get ──Answered 200──> Apply ──Stored──> Rest
//!     ^        ^ └──Answered 3xx──┐   │
//!     │        └──────────────────┘   │ Refused
//!     │   Failed, any other answer    │
//!     └──── Wait <────────────────────┘
//! ```
//!
//! A refused config is fetched again like one that could not be had: its owner may mend the file, and
//! learns of its problems from the status line meanwhile.

use super::{
    target::Target,
    variables::{Facts, expand},
};
use service::backoff::Backoff;
use std::time::Duration;

/// Redirects that are followed in one attempt: a load balancer and a move, and some more.
pub const REDIRECTS_MAX: u32 = 5;
/// First wait before the next attempt: the network is often a second behind this service.
pub const RETRY_INITIAL: Duration = Duration::from_secs(1);
/// Longest wait before the next attempt.
pub const RETRY_CAP: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// It is time for an attempt; what the machine is at this moment.
    Begin(Facts),
    /// The server has answered.
    Answered(Answer),
    /// There is no answer; why.
    Failed(String),
    /// `init` has stored the config.
    Stored {
        /// As which generation.
        generation: u64,
    },
    /// `init` has not taken the config; why.
    Refused(String),
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's status code.
    pub status: u16,
    /// The header of this name.
    pub location: Option<String>,
    /// The body of an answer with status 200, else empty.
    pub body: Vec<u8>,
}

/// What to do. Its outcome is the next event.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for this.
    Get(Target),
    /// Give `init` this config.
    Apply(Vec<u8>),
    /// Say why it did not work, and begin again after a while.
    Wait {
        /// Why, without secrets.
        why: String,
        /// How long.
        pause: Duration,
    },
    /// Nothing more.
    Rest {
        /// Generation of the config.
        generation: u64,
    },
}

/// The state between two events.
#[derive(Debug)]
pub struct Fetcher {
    /// As the kernel command line has it.
    template: String,
    asked: Option<Target>,
    redirects: u32,
    backoff: Backoff,
}

impl Fetcher {
    /// Fetches from this URL, which may have variables.
    #[must_use]
    pub fn new(template: String) -> Self {
        Self {
            template,
            asked: None,
            redirects: 0,
            backoff: Backoff::new(RETRY_INITIAL, RETRY_CAP),
        }
    }

    /// What follows from `event`; `random` is any uniformly drawn number.
    pub fn step(&mut self, event: Event, random: u32) -> Action {
        match self.next(event) {
            Ok(action) => action,
            Err(why) => {
                let why = match &self.asked {
                    Some(target) => format!("{target}: {why}"),
                    None => why,
                };
                let pause = self.backoff.next(random);
                Action::Wait { why, pause }
            }
        }
    }

    fn next(&mut self, event: Event) -> Result<Action, String> {
        match event {
            Event::Begin(facts) => {
                (self.asked, self.redirects) = (None, 0);
                let text = expand(&self.template, &facts).map_err(|error| error.to_string())?;
                let target = Target::parse(&text).map_err(|error| error.to_string())?;
                Ok(self.get(target))
            }
            Event::Answered(answer) => self.answered(answer),
            Event::Failed(why) => Err(why),
            Event::Stored { generation } => Ok(Action::Rest { generation }),
            Event::Refused(why) => Err(format!("the config was not taken: {why}")),
        }
    }

    fn get(&mut self, target: Target) -> Action {
        self.asked = Some(target.clone());
        Action::Get(target)
    }

    fn answered(&mut self, answer: Answer) -> Result<Action, String> {
        match (answer.status, &self.asked, answer.location) {
            (200, _, _) if answer.body.is_empty() => Err("the file is empty".to_owned()),
            (200, _, _) => Ok(Action::Apply(answer.body)),
            // RFC 9110, section 15.4; the others ask for a choice or for a cache.
            (301 | 302 | 303 | 307 | 308, Some(asked), Some(location)) => {
                if self.redirects == REDIRECTS_MAX {
                    return Err(format!("more than {REDIRECTS_MAX} redirects"));
                }
                let target = asked
                    .redirected(&location)
                    .map_err(|error| format!("redirect: {error}"))?;
                self.redirects += 1;
                Ok(self.get(target))
            }
            (status, _, _) => Err(format!("the server answered with status {status}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://user:hush@config.example/node?mac=${mac}";

    fn facts() -> Facts {
        Facts {
            mac: Some("02:00:00:00:00:01".into()),
            ..Facts::default()
        }
    }

    fn answer(status: u16, location: Option<&str>, body: &[u8]) -> Event {
        Event::Answered(Answer {
            status,
            location: location.map(str::to_owned),
            body: body.to_vec(),
        })
    }

    /// A transcript: what happens, and what is done.
    fn check(story: Vec<(Event, &str)>) {
        let mut fetcher = Fetcher::new(URL.into());
        for (event, expect) in story {
            let shown = format!("{event:?}");
            let found = match fetcher.step(event, u32::MAX) {
                Action::Get(target) => format!("get {target}"),
                Action::Apply(config) => format!("apply {} bytes", config.len()),
                Action::Wait { why, pause } => format!("wait {} s: {why}", pause.as_secs()),
                Action::Rest { generation } => format!("rest with {generation}"),
            };
            assert_eq!(found, expect, "after {shown}");
        }
    }

    #[test]
    fn a_config_is_fetched_and_applied() {
        check(vec![
            (Event::Begin(facts()), "get https://config.example/node"),
            (answer(200, None, b"kind"), "apply 4 bytes"),
            (Event::Stored { generation: 1 }, "rest with 1"),
        ]);
    }

    #[test]
    fn every_failure_is_said_and_tried_again_later_each_time() {
        check(vec![
            (
                Event::Begin(Facts::default()),
                "wait 1 s: ${mac} is not known (yet)",
            ),
            (Event::Begin(facts()), "get https://config.example/node"),
            (
                Event::Failed("no route".into()),
                "wait 2 s: https://config.example/node: no route",
            ),
            (Event::Begin(facts()), "get https://config.example/node"),
            (
                answer(404, None, b""),
                "wait 4 s: https://config.example/node: the server answered with status 404",
            ),
            (Event::Begin(facts()), "get https://config.example/node"),
            (
                answer(200, None, b""),
                "wait 8 s: https://config.example/node: the file is empty",
            ),
            (Event::Begin(facts()), "get https://config.example/node"),
            (answer(200, None, b"kind"), "apply 4 bytes"),
            (
                Event::Refused("line 1".into()),
                "wait 16 s: https://config.example/node: the config was not taken: line 1",
            ),
            (Event::Begin(facts()), "get https://config.example/node"),
        ]);
    }

    #[test]
    fn redirects_are_followed_never_down_and_not_for_ever() {
        check(vec![
            (Event::Begin(facts()), "get https://config.example/node"),
            (answer(302, Some("/a"), b""), "get https://config.example/a"),
            (
                answer(308, Some("https://other/b"), b""),
                "get https://other/b",
            ),
            (
                answer(301, Some("http://other/c"), b""),
                "wait 1 s: https://other/b: redirect: from https to http, which anybody could answer",
            ),
        ]);
        let mut fetcher = Fetcher::new(URL.into());
        fetcher.step(Event::Begin(facts()), 0);
        for _ in 0..REDIRECTS_MAX {
            let action = fetcher.step(answer(307, Some("/again"), b""), 0);
            assert!(matches!(action, Action::Get(_)), "{action:?}");
        }
        let action = fetcher.step(answer(307, Some("/again"), b""), 0);
        assert!(matches!(action, Action::Wait { .. }), "{action:?}");
        // The next attempt starts with a fresh count.
        fetcher.step(Event::Begin(facts()), 0);
        let action = fetcher.step(answer(307, Some("/again"), b""), 0);
        assert!(matches!(action, Action::Get(_)), "{action:?}");
    }

    #[test]
    fn nothing_shows_a_secret() {
        let mut fetcher = Fetcher::new("http://user:hush@host/x?token=hush#hush".into());
        let action = fetcher.step(Event::Begin(Facts::default()), 0);
        assert!(!format!("{action:?}").contains("hush"), "{action:?}");
        let action = fetcher.step(Event::Failed("why".into()), 0);
        assert!(!format!("{action:?}").contains("hush"), "{action:?}");
    }
}
