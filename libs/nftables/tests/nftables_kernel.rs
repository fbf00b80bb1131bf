//! Transactions as the kernel takes them, in a network namespace of the test's own. They need root.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use nix::sched::{CloneFlags, unshare};
use orlop_nftables::{Batch, Element, Error, Family, Flows, Map, Socket, Table, concatenation};

const TABLE: Table<'_> = Table {
    family: Family::Inet,
    name: "test",
};
/// A port to a port.
const MAP: Map<'_> = Map {
    name: "ports",
    key_type: 13,
    key_bytes: 4,
    value_type: 13,
    value_bytes: 4,
};

fn in_a_namespace(test: impl FnOnce(Socket) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("needs root: the test makes a network namespace");
        test(Socket::open().unwrap());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn element(key: u16, value: u16) -> Element {
    Element {
        key: concatenation(&[&key.to_be_bytes()]),
        value: concatenation(&[&value.to_be_bytes()]),
    }
}

fn refused(result: Result<(), Error>) -> (String, i32) {
    match result {
        Err(Error::Refused { operation, source }) => (operation, source.raw_os_error().unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_of_it_or_nothing_and_the_fault_is_named() {
    const ENOENT: i32 = 2;
    in_a_namespace(|socket| {
        let mut batch = Batch::new();
        batch.add_table(TABLE);
        batch.add_map(TABLE, &MAP);
        let other = Table {
            family: Family::Inet,
            name: "nobody",
        };
        batch.delete_table(other);
        batch.add_elements(TABLE, "ports", &[element(1, 2)]);
        let fault = refused(socket.commit(&batch));
        assert_eq!(fault, ("delete table nobody".to_owned(), ENOENT));
        // The table was not made either.
        let mut batch = Batch::new();
        batch.delete_table(TABLE);
        let fault = refused(socket.commit(&batch));
        assert_eq!(fault, ("delete table test".to_owned(), ENOENT));
        socket.commit(&Batch::new()).unwrap();
    });
}

#[test]
fn many_elements_go_in_at_once_and_one_changes() {
    const EEXIST: i32 = 17;
    in_a_namespace(|socket| {
        let mut batch = Batch::new();
        batch.add_table(TABLE);
        batch.add_map(TABLE, &MAP);
        let all: Vec<_> = (0..60_000).map(|port| element(port, 1)).collect();
        batch.add_elements(TABLE, "ports", &all);
        socket.commit(&batch).unwrap();
        let mut batch = Batch::new();
        batch.add_elements(TABLE, "ports", &[element(7, 2)]);
        let fault = refused(socket.commit(&batch));
        assert_eq!(fault, ("add elements of test ports".to_owned(), EEXIST));
        let mut batch = Batch::new();
        batch.delete_elements(TABLE, "ports", &[element(7, 1)]);
        batch.add_elements(TABLE, "ports", &[element(7, 2)]);
        socket.commit(&batch).unwrap();
    });
}

#[test]
fn flows_that_nobody_has_are_forgotten_already() {
    in_a_namespace(|socket| {
        for ipv4 in [true, false] {
            let flows = Flows {
                ipv4,
                protocol: 17,
                port: 53,
            };
            socket.forget(flows).unwrap();
        }
    });
}
