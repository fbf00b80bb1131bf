//! A transaction: operations in the order in which the kernel does them.

use crate::{
    Error, Expression,
    encode::{Attributes, header},
};

/// Largest transaction, in bytes. Fifty thousand elements are 5 MiB.
pub(crate) const BATCH_MAX: usize = 16 * 1024 * 1024;
/// Elements in one message: of the longest keys and values they are 40 KiB, and a nested list ends at 64.
const ELEMENTS_MAX: usize = 256;
/// Longest name (`NFT_NAME_MAXLEN` with its end).
const NAME_MAX: usize = 255;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
}

impl Family {
    const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
        }
    }
}

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<'a> {
    /// Whose packets.
    pub family: Family,
    /// Its name.
    pub name: &'a str,
}

/// What a chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Let pass or drop.
    Filter,
    /// Change addresses: it sees the first packet of each connection.
    Nat,
}

/// Where on their way packets come to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// From outside, before they are routed.
    Prerouting,
    /// From this machine.
    Output,
    /// Just before they go out.
    Postrouting,
}

impl Hook {
    const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
}

/// A chain at a hook; what no rule has decided passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it does.
    pub kind: Kind,
    /// Where.
    pub hook: Hook,
    /// Lower ones come first: -300 raw, -100 destination NAT, 100 source NAT.
    pub priority: i32,
}

/// A set, or a map where values are longer than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map<'a> {
    /// Its name.
    pub name: &'a str,
    /// Types of a key's fields as nft(8) numbers them, for those who list it.
    pub key_type: u32,
    /// Bytes of a key, each field padded to 4.
    pub key_bytes: u32,
    /// As of keys; 0 for a set.
    pub value_type: u32,
    /// Bytes of a value; 0 for a set.
    pub value_bytes: u32,
}

/// One of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// As [`crate::concatenation`] makes it.
    pub key: Vec<u8>,
    /// Empty in a set.
    pub value: Vec<u8>,
}

/// A transaction in the making.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// What each message is for; its sequence number is its index + 1.
    pub(crate) operations: Vec<String>,
    /// The last message: an acknowledgement is asked of it.
    last: usize,
    maps: u32,
    fault: Option<(String, &'static str)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            operations: Vec::new(),
            last: 0,
            maps: 0,
            fault: None,
        };
        batch.edge(BATCH_BEGIN);
        batch
    }

    /// Makes a table where there is none.
    pub fn add_table(&mut self, table: Table<'_>) {
        let mut attributes = Attributes::new();
        attributes.text(1, table.name).number(2, 0);
        let what = format!("add table {}", table.name);
        self.message(what, 0, CREATE, table, &[table.name], attributes);
    }

    /// Removes a table that is there, with all in it.
    pub fn delete_table(&mut self, table: Table<'_>) {
        let mut attributes = Attributes::new();
        attributes.text(1, table.name);
        let what = format!("delete table {}", table.name);
        self.message(what, 2, 0, table, &[table.name], attributes);
    }

    /// Makes a chain at a hook.
    pub fn add_chain(&mut self, table: Table<'_>, chain: &Chain<'_>) {
        let mut attributes = Attributes::new();
        let kind = match chain.kind {
            Kind::Filter => "filter",
            Kind::Nat => "nat",
        };
        attributes
            .text(1, table.name)
            .text(3, chain.name)
            .nest(4, |hook| {
                hook.number(1, chain.hook.number())
                    .bytes(2, &chain.priority.to_be_bytes());
            })
            .text(7, kind);
        let what = format!("add chain {} {}", table.name, chain.name);
        let names = [table.name, chain.name];
        self.message(what, 3, CREATE, table, &names, attributes);
    }

    /// Makes a set or map.
    pub fn add_map(&mut self, table: Table<'_>, map: &Map<'_>) {
        const IS_MAP: u32 = 8;
        let is_map = map.value_bytes > 0;
        self.maps += 1;
        let mut attributes = Attributes::new();
        attributes
            .text(1, table.name)
            .text(2, map.name)
            .number(3, if is_map { IS_MAP } else { 0 })
            .number(4, map.key_type)
            .number(5, map.key_bytes)
            .number(10, self.maps);
        if is_map {
            attributes
                .number(6, map.value_type)
                .number(7, map.value_bytes);
        }
        let what = format!("add map {} {}", table.name, map.name);
        let names = [table.name, map.name];
        self.message(what, 9, CREATE, table, &names, attributes);
    }

    /// Puts elements into a set or map. One that is there with the same value is no error.
    pub fn add_elements(&mut self, table: Table<'_>, map: &str, elements: &[Element]) {
        self.elements(table, map, elements, ("add", 12, CREATE));
    }

    /// Takes elements out of a set or map. One that is not there fails the transaction.
    pub fn delete_elements(&mut self, table: Table<'_>, map: &str, elements: &[Element]) {
        self.elements(table, map, elements, ("delete", 14, 0));
    }

    fn elements(
        &mut self,
        table: Table<'_>,
        map: &str,
        elements: &[Element],
        (word, kind, flags): (&str, u16, u16),
    ) {
        for some in elements.chunks(ELEMENTS_MAX) {
            let mut attributes = Attributes::new();
            attributes.text(1, table.name).text(2, map).nest(3, |list| {
                for element in some {
                    list.nest(1, |one| {
                        one.nest(1, |key| {
                            key.bytes(1, &element.key);
                        });
                        if !element.value.is_empty() {
                            one.nest(2, |value| {
                                value.bytes(1, &element.value);
                            });
                        }
                    });
                }
            });
            let what = format!("{word} elements of {} {map}", table.name);
            self.message(what, kind, flags, table, &[table.name, map], attributes);
        }
    }

    /// Puts a rule at the end of a chain.
    pub fn add_rule(&mut self, table: Table<'_>, chain: &str, expressions: &[Expression<'_>]) {
        let mut attributes = Attributes::new();
        attributes
            .text(1, table.name)
            .text(2, chain)
            .nest(4, |list| {
                for expression in expressions {
                    expression.encode(list);
                }
            });
        let what = format!("add rule {} {chain}", table.name);
        let names = [table.name, chain];
        self.message(what, 6, CREATE | APPEND, table, &names, attributes);
    }

    fn edge(&mut self, kind: u16) {
        let sequence = self.sequence();
        // 20 bytes fit.
        let _ = header(&mut self.bytes, kind, REQUEST, sequence, 4);
        self.bytes.extend([0, 0]);
        self.bytes.extend(SUBSYSTEM.to_be_bytes());
        self.operations
            .push("the transaction as a whole".to_owned());
    }

    fn sequence(&self) -> u32 {
        u32::try_from(self.operations.len() + 1).unwrap_or(u32::MAX)
    }

    fn message(
        &mut self,
        what: String,
        kind: u16,
        flags: u16,
        table: Table<'_>,
        names: &[&str],
        attributes: Attributes,
    ) {
        if self.fault.is_some() {
            return;
        }
        let wrong = |name: &&str| name.is_empty() || name.len() > NAME_MAX || name.contains('\0');
        if names.iter().any(wrong) {
            self.fault = Some((what, "a name has 1 to 255 bytes, none of them zero"));
            return;
        }
        let Some(body) = attributes.finish() else {
            self.fault = Some((what, "it is longer than an attribute of netlink"));
            return;
        };
        if self.bytes.len() + body.len() > BATCH_MAX {
            self.fault = Some((what, "the transaction is longer than 16 MiB"));
            return;
        }
        self.last = self.bytes.len();
        let (kind, sequence) = ((SUBSYSTEM << 8) | kind, self.sequence());
        let _ = header(
            &mut self.bytes,
            kind,
            REQUEST | flags,
            sequence,
            body.len() + 4,
        );
        self.bytes.extend([table.family.number(), 0, 0, 0]);
        self.bytes.extend(body);
        self.operations.push(what);
    }

    /// All bytes of it, and which message is acknowledged. None: it is empty.
    pub(crate) fn finished(&self) -> Result<Option<(Vec<u8>, u32)>, Error> {
        if let Some((operation, reason)) = &self.fault {
            return Err(Error::TooLarge {
                operation: operation.clone(),
                reason,
            });
        }
        let mut whole = self.clone();
        let acknowledged = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        // In the machine's byte order, as the header is.
        let Some(flags) = whole.bytes.get_mut(whole.last + 6..whole.last + 8) else {
            return Ok(None);
        };
        if self.last == 0 {
            return Ok(None);
        }
        let asked = u16::from_ne_bytes([flags[0], flags[1]]) | ACKNOWLEDGE;
        flags.copy_from_slice(&asked.to_ne_bytes());
        whole.edge(BATCH_END);
        Ok(Some((whole.bytes, acknowledged)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table<'_> = Table {
        family: Family::Inet,
        name: "t",
    };

    #[test]
    fn messages_follow_each_other_and_the_last_is_acknowledged() {
        let mut batch = Batch::new();
        batch.add_table(TABLE);
        batch.delete_table(TABLE);
        let (bytes, acknowledged) = batch.finished().expect("small").expect("two");
        let (mut rest, mut seen) = (bytes.as_slice(), Vec::new());
        while let [a, b, c, d, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *rest {
            let length = u32::from_ne_bytes([a, b, c, d]);
            seen.push((
                u16::from_ne_bytes([k0, k1]),
                u16::from_ne_bytes([f0, f1]) & ACKNOWLEDGE,
                u32::from_ne_bytes([s0, s1, s2, s3]),
            ));
            rest = &rest[usize::try_from(length).expect("small")..];
        }
        assert_eq!(
            seen,
            [
                (BATCH_BEGIN, 0, 1),
                (0x0a00, 0, 2),
                (0x0a02, 4, 3),
                (BATCH_END, 0, 4)
            ]
        );
        assert_eq!(acknowledged, 3);
    }

    #[test]
    fn nothing_is_nothing_and_bad_names_are_refused() {
        assert!(Batch::new().finished().expect("empty").is_none());
        for name in ["", "a\0b", &"x".repeat(256)] {
            let mut batch = Batch::new();
            batch.add_table(Table {
                family: Family::Inet,
                name,
            });
            let error = batch.finished().expect_err("a bad name");
            assert!(error.to_string().contains("255 bytes"), "{error}");
        }
    }

    #[test]
    fn many_elements_are_many_messages() {
        let mut batch = Batch::new();
        let elements = vec![
            Element {
                key: vec![0; 24],
                value: vec![0; 20],
            };
            1000
        ];
        batch.add_elements(TABLE, "m", &elements);
        assert_eq!(batch.operations.len(), 1 + 4);
        assert!(batch.finished().expect("fits").is_some());
    }
}
