//! "Did you mean": the nearest of some names.
//!
//! Owns: the distance and how near is near. Does not own: which names are at hand.

/// The nearest of `names` if it is near enough to be a slip of the pen.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let limit = 1 + wrong.chars().count() / 4;
    names
        .into_iter()
        .map(|name| (distance(&wrong, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= limit.min(name.chars().count().saturating_sub(1)))
        .min()
        .map(|(_, name)| name)
}

/// The fix that names the nearest of `names`, or else lists them if they are few.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(wrong, names.iter().copied()) {
        Some(name) => Some(format!("did you mean {name}?")),
        None if names.is_empty() => None,
        None if names.len() <= 10 => Some(format!("write one of {}", names.join(", "))),
        None => None,
    }
}

/// Insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = (0..=a.len()).map(|i| (i..=i + b.len()).collect()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        assert_eq!(nearest("odrer", ["order", "customer"]), Some("order"));
        assert_eq!(nearest("custmer", ["order", "customer"]), Some("customer"));
        assert_eq!(nearest("ORDERS", ["order", "customer"]), Some("order"));
        assert_eq!(nearest("sku", ["no", "product"]), None);
        assert_eq!(nearest("ab", ["xy"]), None);
        assert_eq!(nearest("a", ["b"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn few_names_are_listed() {
        assert_eq!(did_you_mean("odrer", ["order", "tag"]), Some("did you mean order?".to_string()));
        assert_eq!(did_you_mean("zebra", ["order", "tag"]), Some("write one of order, tag".to_string()));
        assert_eq!(did_you_mean("zebra", []), None);
    }
}
