//! What each code means: the tables of the pages docs/codes.md, docs/checks.md and, for the analysis' own, docs/analysis.md.

use std::collections::BTreeSet;

use super::document::Explanation;

/// The pages, as they were when this program was built. Where several explain a code, the first counts.
const PAGES: [&str; 3] =
    [include_str!("../../docs/analysis.md"), include_str!("../../docs/codes.md"), include_str!("../../docs/checks.md")];

/// All codes that there are, in their order.
pub(super) fn explanations() -> Vec<Explanation> {
    let mut told = BTreeSet::new();
    let mut all: Vec<Explanation> = PAGES.into_iter().flat_map(of_page).filter(|found| told.insert(found.code.clone())).collect();
    all.sort_by(|a, b| a.code.cmp(&b.code));
    all
}

/// The rows of a page's tables whose first column is `code`; the heads of the others say which is which. What follows no head is no row:
/// a line between would end the table for everyone who looks at the page.
fn of_page(page: &str) -> Vec<Explanation> {
    let (mut topic, mut heads) = ("", Vec::new());
    let mut found = Vec::new();
    for line in page.lines() {
        if line.starts_with('#') {
            topic = line.trim_matches(['#', ' ']);
        }
        let cells = cells(line);
        match cells.first().map(String::as_str) {
            Some("code") => heads = cells,
            Some(first) if cells.len() == heads.len() => {
                let codes = codes(first);
                // Several share their row with the names of all.
                let named = codes.len() == 1;
                found.extend(codes.into_iter().map(|code| Explanation::of_row(code, topic, named, &heads, &cells)));
            }
            Some(_) => {}
            None => heads.clear(),
        }
    }
    found
}

/// The codes of a row: `IST0104`, or `IST0104, IST0166 to IST0169`; none if it is of something else.
fn codes(text: &str) -> Vec<String> {
    let parts = text.split(", ").map(|part| {
        let (first, last) = part.split_once(" to ").unwrap_or((part, part));
        let ((area, first), (_, last)) = (code(first)?, code(last)?);
        Some((first..=last).map(|number| format!("{area}{number:04}")).collect::<Vec<String>>())
    });
    parts.collect::<Option<Vec<_>>>().unwrap_or_default().concat()
}

/// The letters and the number of a code.
fn code(text: &str) -> Option<(&str, u16)> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let area = text.strip_suffix(digits).filter(|area| !area.is_empty())?;
    let is_number = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number { Some((area, digits.parse().ok()?)) } else { None }
}

/// The cells of a table's row, none of another line. A bar inside of a cell is written `\|`.
fn cells(line: &str) -> Vec<String> {
    let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else { return Vec::new() };
    row.replace("\\|", "\u{0}").split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

// === impl Explanation ===

impl Explanation {
    fn of_row(code: String, topic: &str, named: bool, heads: &[String], cells: &[String]) -> Self {
        let cell = |head: &str| heads.iter().position(|one| one == head).map(|column| cells[column].clone());
        Self {
            code,
            name: cell("name").filter(|_| named),
            topic: topic.to_owned(),
            // Of what is not looked for only the reason is told.
            meaning: cell("what it means").or_else(|| cell("why")).unwrap_or_default(),
            example: cell("how to see it").unwrap_or_default(),
            remedy: cell("how to mend it").unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis;
    use crate::config;

    #[test]
    fn every_code_of_messages_and_of_the_analysis_is_explained() {
        let explained = explanations();
        let whole = |code: &str| {
            let explanation = explained.iter().find(|explanation| explanation.code == code);
            explanation.is_some_and(|it| ![&it.meaning, &it.example, &it.remedy].iter().any(|text| text.is_empty()))
        };
        let of_messages = config::Code::ALL.iter().map(|code| code.as_str());
        let of_analysis = analysis::Code::ALL.iter().map(|code| code.as_str());
        let missing: Vec<&str> = of_messages.chain(of_analysis).filter(|code| !whole(code)).collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn nothing_is_listed_without_a_meaning() {
        let mute: Vec<String> = explanations().into_iter().filter(|it| it.meaning.is_empty()).map(|it| it.code).collect();
        assert_eq!(mute, Vec::<String>::new());
    }

    #[test]
    fn codes_that_share_a_row_are_explained_each() {
        let page = "## Not found\n| code | name | why |\n|---|---|---|\n| IST0156, IST0166 to IST0168 | of waypoints | There are none. |\n";
        let found = of_page(page);
        let codes: Vec<&str> = found.iter().map(|it| it.code.as_str()).collect();
        assert_eq!(codes, ["IST0156", "IST0166", "IST0167", "IST0168"]);
        assert!(found.iter().all(|it| it.name.is_none() && it.meaning == "There are none."), "{found:?}");
    }

    #[test]
    fn heads_of_a_table_say_what_its_columns_are() {
        let page = "## Topic\n| code | how to mend it | what it means | how to see it |\n|---|---|---|---|\n| FM0001 | d | a \\| b | `c` |\n\
                    | FM1 | no | code | here |\n| FM0002 | too few |\n\n| FM0003 | behind | the | table |\n";
        let text = str::to_owned;
        let row = Explanation {
            code: text("FM0001"),
            name: None,
            topic: text("Topic"),
            meaning: text("a | b"),
            example: text("`c`"),
            remedy: text("d"),
        };
        assert_eq!(of_page(page), [row]);
    }
}
