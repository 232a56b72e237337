//! The files of the downward API: a pod's labels as the kubelet writes them.

use std::collections::BTreeMap;

/// Reads `key="value"` lines, whose values are quoted as in Go. A line of another form is left out: a label is worth less than a
/// proxy that starts.
pub fn parse_downward(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|line| line.split_once('=')).filter_map(|(key, value)| Some((key.to_owned(), unquote(value)?))).collect()
}

fn unquote(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut out = String::with_capacity(text.len());
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match rest.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'x' => code(&mut rest, 2)?,
            'u' => code(&mut rest, 4)?,
            'U' => code(&mut rest, 8)?,
            c @ ('"' | '\\' | '\'') => c,
            _ => return None,
        });
    }
    Some(out)
}

fn code(rest: &mut impl Iterator<Item = char>, digits: usize) -> Option<char> {
    let text: String = rest.take(digits).collect();
    char::from_u32(u32::from_str_radix(&text, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_are_read_back() {
        let text = "app=\"web\"\nnote=\"a \\\"b\\\"\\n\\u00e9=c\"\nempty=\"\"\nbroken=\"\\q\"\nnothing\n";
        let read = parse_downward(text);
        let expected = [("app", "web"), ("note", "a \"b\"\né=c"), ("empty", "")];
        assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
