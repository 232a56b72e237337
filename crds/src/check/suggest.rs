//! The known name that a misspelled one was probably meant to be.

/// The name nearest to `wrong` by edits, unless even that one differs in more than a third of its letters.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    /// Longer than any name that we know; it bounds what a hostile one costs.
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    let folded = fold(wrong);
    known
        .map(|name| (distance(&folded, &fold(name)), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name.to_owned())
}

/// What is left of a name without the ways of joining words: `match_labels`, `MatchLabels` → `matchlabels`.
fn fold(name: &str) -> Vec<char> {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Levenshtein's distance: how many letters must be changed, added or removed.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}
