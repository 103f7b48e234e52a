//! Events of MariaDB, made by hand.

use std::io::Write as _;

use super::*;

fn gtid_event(number: u64, domain: u32, flags: u8) -> Vec<u8> {
    [&number.to_le_bytes()[..], &domain.to_le_bytes(), &[flags, 9, 9, 9, 9, 9, 9]].concat()
}

fn set(text: &str) -> GtidSet {
    text.parse().expect("a GTID set")
}

#[test]
fn numbers_that_never_come_are_settled_with_the_next() {
    let mut numbers = Numbers::after(&set("0-1-5"));
    let mut begun = |number, domain, flags, server| {
        let begun = numbers.begun(&gtid_event(number, domain, flags), server, 7)?;
        assert_eq!(begun.committed_unix_us, 7_000_000);
        Ok::<_, BadEvent>(format!("{} {} {:?}", begun.gtid, begun.skipped, begun.shape))
    };
    assert_eq!(begun(6, 0, 0, 1).as_deref(), Ok("0-1-6  Begun"));
    assert_eq!(begun(9, 0, 1, 1).as_deref(), Ok("0-1-9 0-1:7-8 Unsaid"));
    assert_eq!(begun(10, 0, 4 | 64, 2).as_deref(), Ok("0-2-10 0-2-9 Xa"));
    assert_eq!(begun(1, 3, 4, 2).as_deref(), Ok("3-2-1  Begun"));
    assert!(matches!(begun(9, 0, 4, 1), Err(BadEvent::Order(..))));
    assert_eq!(begun(2, 3, 1, 2).as_deref(), Ok("3-2-2  Unsaid"));
    assert_eq!(numbers.begun(&[1, 2, 3], 1, 0).map(|_| ()), Err(BadEvent::Truncated(Truncated)));
    assert!(numbers.has(&"0-1-5".parse().expect("a GTID")) && !numbers.has(&"0-1-6".parse().expect("a GTID")));
}

#[test]
fn a_reader_asks_for_what_comes_behind_the_first_hole() {
    for (from, state) in [
        ("", ""),
        ("0-1-5", "0-1-5"),
        ("0-1-5,0-2-8,7-1-3", "0-2-8,7-1-3"),
        ("0-1:1-5:7-9,0-2-8", "0-1-5"),
        ("0-2:6-9", ""),
        ("0-1:1-5:7,0-2:1-3:8", "0-2-3"),
    ] {
        assert_eq!(connect_state(&set(from)), state, "{from}");
    }
    // Behind a hole what the reader has comes again, and is in order there.
    let mut numbers = Numbers::after(&set("0-1:1-5:7"));
    let again = |numbers: &mut Numbers, number| numbers.begun(&gtid_event(number, 0, 0), 1, 0).map(|begun| begun.gtid);
    let (hole, known) = (again(&mut numbers, 6).expect("the hole"), again(&mut numbers, 7).expect("what comes again"));
    assert!(!numbers.has(&hole) && numbers.has(&known));
}

fn deflated(plain: &[u8], said: u16) -> Vec<u8> {
    let mut stream = flate2::write::ZlibEncoder::new(vec![0x82], flate2::Compression::default());
    stream.get_mut().extend(said.to_be_bytes());
    stream.write_all(plain).expect("a buffer takes everything");
    stream.finish().expect("a buffer takes everything")
}

#[test]
fn compressed_events_become_plain_ones() {
    assert_eq!(inflate(kind::QUERY, &[1, 2, 3]), Ok(None));
    let text = b"INSERT INTO t VALUES (1)".repeat(20);
    let head = [&[7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0][..], &[9, 9], b"d\0"].concat();
    let event = [&head[..], &deflated(&text, 480)].concat();
    let plain = [&head[..], &text].concat();
    assert_eq!(inflate(kind::MARIADB_QUERY_COMPRESSED, &event), Ok(Some((kind::QUERY, plain))));
    let heads: [(u8, u8, &[u8]); 4] = [
        (166, 23, &[7, 0, 0, 0, 0, 0, 1, 0, 2, 3]),
        (167, 24, &[7, 0, 0, 0, 0, 0, 1, 0, 2, 3, 3]),
        (170, 31, &[7, 0, 0, 0, 0, 0, 1, 0, 4, 0, 9, 9, 2, 3, 3]),
        (171, 32, &[7, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 3]),
    ];
    let rows = [0u8, 1, 2, 3, 4].repeat(100);
    for (code, plain, head) in heads {
        let event = [head, &deflated(&rows, 500)].concat();
        assert_eq!(inflate(code, &event), Ok(Some((plain, [head, &rows].concat()))), "{code}");
        for cut in 0..event.len() {
            assert!(inflate(code, &event[..cut]).is_err(), "{code} cut at {cut}");
        }
        for said in [0, 499, 501, 60_000] {
            assert_eq!(inflate(code, &[head, &deflated(&rows, said)].concat()), Err(BadEvent::Compressed), "{said}");
        }
    }
}
