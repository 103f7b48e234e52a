//! Text forms and algebra of GTID sets.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    text.parse().expect("a GTID set")
}

#[test]
fn text_forms() {
    let tagged = set(&format!("{A}:1-5:7:blue:1-2,\n{}:9", A.replace('3', "4").to_uppercase()));
    assert_eq!(tagged.to_string(), format!("{A}:1-5:7,{A}:blue:1-2,{}:9", A.replace('3', "4")));
    assert_eq!(tagged.count(), 9);
    assert_eq!(set(&tagged.to_string()), tagged);
    assert_eq!(set(""), GtidSet::default());
    for bad in ["x", "3e11:1", &format!("{A}:0-2"), &format!("{A}:5-2"), &format!("{A}:1-"), &format!("{A}:-2")] {
        assert!(bad.parse::<GtidSet>().is_err(), "{bad}");
    }
}

#[test]
fn positions_of_mariadb() {
    let position = set("0-1-5, 1-4294967295-18446744073709551614");
    assert_eq!(position.to_string(), "0-1-5,1-4294967295-18446744073709551614");
    let gtid: Gtid = "0-1-3".parse().expect("a GTID");
    assert_eq!((gtid.to_string().as_str(), gtid.number), ("0-1-3", 3));
    assert!(position.contains(&gtid) && !position.contains(&"0-2-3".parse().expect("a GTID")));
    let mut holes = set("0-1-5");
    holes.remove(&gtid);
    assert_eq!((holes.to_string().as_str(), holes.count()), ("0-1:1-2:4-5", 4));
    assert_eq!(set(&holes.to_string()), holes);
    let late = set("0-2:6-8");
    assert_eq!((late.to_string().as_str(), set("0-2-8").minus(&late).to_string().as_str()), ("0-2:6-8", "0-2-5"));
    assert_eq!(set("0-1-0"), GtidSet::default());
    for bad in ["0-1", "0-1:", "0-1:x", "0-1:tag:1", "0-1-5:6", "-1-5", "0--5", "4294967296-1-1", "0-1-+5", "1-2-3-4"] {
        let parsed = bad.parse::<GtidSet>();
        assert!(parsed.as_ref().is_ok_and(GtidSet::is_empty) || parsed.is_err(), "{bad}: {parsed:?}");
    }
    assert!("0-1:1-2".parse::<Gtid>().is_err());
    assert_eq!(format!("{A}:7").parse::<Gtid>().expect("a GTID").number, 7);
}

#[test]
fn touching_intervals_join() {
    assert_eq!(set(&format!("{A}:1-3:5:4")).to_string(), format!("{A}:1-5"));
    assert!(Version::of(1, &set(&format!("{A}:1-5"))) > Version::of(0, &set(&format!("{A}:1-500"))));
}

fn numbers() -> impl Strategy<Value = BTreeSet<u64>> {
    proptest::collection::btree_set(1u64..40, 0..25)
}

fn of(numbers: &BTreeSet<u64>) -> GtidSet {
    let source = GtidSource::Server { uuid: 7, tag: String::new() };
    let mut set = GtidSet::default();
    for number in numbers.iter().rev() {
        set.insert(&Gtid { source: source.clone(), number: *number });
    }
    set
}

proptest! {
    #[test]
    fn algebra_agrees_with_plain_sets(a in numbers(), b in numbers()) {
        let (x, y) = (of(&a), of(&b));
        prop_assert_eq!(x.count() as usize, a.len());
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        prop_assert_eq!(x.minus(&y), of(&a.difference(&b).copied().collect()));
        prop_assert_eq!(x.intersection(&y), of(&a.intersection(&b).copied().collect()));
        prop_assert_eq!(GtidSet::common([&x, &y]), x.intersection(&y));
        let mut union = x.clone();
        union.extend(&y);
        prop_assert_eq!(&union, &of(&a.union(&b).copied().collect()));
        prop_assert_eq!(set(&union.to_string()), union);
        for number in 1..40 {
            let gtid = Gtid { source: GtidSource::Server { uuid: 7, tag: String::new() }, number };
            prop_assert_eq!(x.contains(&gtid), a.contains(&number));
        }
    }
}
