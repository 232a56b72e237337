//! What each code means: the tables of the pages docs/codes.md and, for the analysis' own, docs/analysis.md.

/// The pages, as they were when this program was built.
const PAGES: [&str; 1] = [include_str!("../../docs/codes.md")];

/// A code, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    /// For example `FM0104`.
    pub(super) code: &'static str,
    /// The heading over it: what its kind of message means for the object.
    pub(super) topic: &'static str,
    pub(super) meaning: String,
    pub(super) example: String,
    pub(super) remedy: String,
}

/// All codes that there are, in the order of the pages.
pub(super) fn explanations() -> Vec<Explanation> {
    PAGES.into_iter().flat_map(of_page).collect()
}

fn of_page(page: &'static str) -> Vec<Explanation> {
    let mut topic = "";
    let mut found = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            topic = heading.trim_start_matches('#').trim();
        }
        found.extend(row(line, topic));
    }
    found
}

/// A row of a table `| code | … | … | … |`.
fn row(line: &'static str, topic: &'static str) -> Option<Explanation> {
    let (code, rest) = line.strip_prefix("| ")?.split_once(" | ")?;
    let is_code = code.starts_with(|c: char| c.is_ascii_uppercase()) && code.ends_with(|c: char| c.is_ascii_digit());
    let cells: Vec<String> = cells(rest.strip_suffix(" |")?);
    match cells.as_slice() {
        [meaning, example, remedy] if is_code => {
            Some(Explanation { code, topic, meaning: meaning.clone(), example: example.clone(), remedy: remedy.clone() })
        }
        _ => None,
    }
}

/// The cells of a row's rest; a bar inside a cell is written `\|`.
fn cells(rest: &str) -> Vec<String> {
    rest.replace("\\|", "\u{0}").split(" | ").map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn every_code_of_messages_is_explained() {
        let explained = explanations();
        let missing: Vec<&str> = config::Code::ALL
            .iter()
            .map(|code| code.as_str())
            .filter(|code| !explained.iter().any(|explanation| explanation.code == *code))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn a_row_may_hold_bars() {
        let explanation = row("| FM0001 | a \\| b | `x` | y |", "topic").unwrap();
        assert_eq!(explanation.meaning, "a | b");
        assert_eq!(row("| code | what | how | mend |", ""), None);
        assert_eq!(row("|---|---|---|---|", ""), None);
    }
}
