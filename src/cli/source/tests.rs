use granit_parser::ScalarStyle;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Place, read, scalar::resolve};

/// The one document of a text.
fn document(text: &str) -> super::Node {
    let (mut documents, problems) = read(text);
    assert_eq!(problems, []);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

/// What a place covers, and its line and column.
fn shown(text: &str, place: Place) -> String {
    format!("{}:{} {}", place.line, place.column, &text[place.start..place.end])
}

fn problems(text: &str) -> Vec<String> {
    read(text).1.into_iter().map(|problem| format!("{}:{} {}", problem.place.line, problem.place.column, problem.message)).collect()
}

#[rstest]
#[case("on", json!(true))]
#[case("n", json!(false))]
#[case("~", Value::Null)]
#[case("", Value::Null)]
#[case("017", json!(15))]
#[case("0o17", json!(15))]
#[case("0x1F", json!(31))]
#[case("-0b11", json!(-3))]
#[case("1_000", json!(1000))]
#[case("+5", json!(5))]
#[case("18446744073709551615", json!(u64::MAX))]
#[case("-9223372036854775808", json!(i64::MIN))]
#[case("1.5e3", json!(1500.0))]
#[case(".5", json!(0.5))]
#[case("+1.5", json!(1.5))]
#[case("1.0.2", json!("1.0.2"))]
#[case("10.0.0.1", json!("10.0.0.1"))]
#[case("08", json!(8.0))]
#[case("1e", json!("1e"))]
#[case("+-5", json!("+-5"))]
#[case("2027-03-02", json!("2027-03-02"))]
#[case("-", json!("-"))]
#[case("tRue", json!("tRue"))]
fn a_scalar_means_what_it_means_to_kubectl(#[case] text: &str, #[case] meaning: Value) {
    assert_eq!(resolve(text, ScalarStyle::Plain, None), Ok(meaning));
}

#[test]
fn quotes_and_tags_make_texts() {
    let value = document("a: \"1\"\nb: '~'\nc: !!str 5\nd: !!int \"7\"\ne: |\n  1\nf: !own x\n").to_value();
    assert_eq!(value, json!({"a": "1", "b": "~", "c": "5", "d": 7, "e": "1\n", "f": "x"}));
    assert_eq!(problems("a: !!int x"), ["1:10 \"x\" is no int, as its tag says"]);
    assert_eq!(problems("a: .nan"), ["1:4 .nan is a number that JSON has no form for"]);
}

#[rstest]
#[case("spec.http[1].route", "5:5 route")]
#[case("spec.http[1].route[0].weight", "5:14 weight")]
#[case("spec.http[0].timout", "4:5 timout")]
#[case("spec.labels[a.b/c.d]", "6:12 a.b/c.d")]
#[case("spec.labels.a.b/c.d", "6:12 a.b/c.d")]
#[case("spec.text", "7:3 text")]
#[case("spec.nothing", "2:1 spec")]
#[case("spec.http[7]", "3:3 http")]
fn a_path_leads_to_its_key(#[case] path: &str, #[case] place: &str) {
    let text =
        "# comment\nspec:\n  http:\n  - timout: 3s\n  - route: [{weight: 10}, {}]\n  labels: {a.b/c.d: x}\n  text: |\n    one\n    two\n";
    assert_eq!(shown(text, document(text).locate(path).field()), place);
}

#[test]
fn the_culprit_is_the_value_or_the_key_of_what_spans_lines() {
    let text = "a: {b: [x, yy]}\nc: \"quoted\"\nd:\n- e: 1\n";
    let document = document(text);
    let culprit = |path: &str| shown(text, document.locate(path).culprit());
    assert_eq!(culprit("a.b[1]"), "1:12 yy");
    assert_eq!(culprit("a.b"), "1:5 b");
    assert_eq!(culprit("c"), "2:4 \"quoted\"");
    assert_eq!(culprit("d[0].e"), "4:6 1");
    assert_eq!(culprit("d[0].missing").split_once(' ').unwrap().0, "4:3");
}

#[test]
fn places_hold_with_carriage_returns_tabs_and_wide_letters() {
    let text = "a: 'grüße'\r\nb:\t{\"ü\": 1,\r\n\t\"c\": 2}\r\n";
    let document = document(text);
    assert_eq!(shown(text, document.locate("a").culprit()), "1:4 'grüße'");
    assert_eq!(shown(text, document.locate("b.ü").field()), "2:5 \"ü\"");
    assert_eq!(shown(text, document.locate("b.c").culprit()), "3:7 2");
}

#[test]
fn json_is_read_as_it_is() {
    let text = "{\n\t\"a\": [1, 2.5, -3, true, null, \"\\u00fc\\/\"],\n\t\"b\": {\"c\": \"on\"}\n}\n";
    assert_eq!(document(text).to_value(), json!({"a": [1, 2.5, -3, true, null, "ü/"], "b": {"c": "on"}}));
}

#[test]
fn an_alias_points_to_itself_and_what_is_in_it_to_the_anchor() {
    let text = "a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\nf:\n  <<: *x\n  b: 3\n";
    let document = document(text);
    assert_eq!(document.to_value(), json!({"a": {"b": 1}, "c": {"b": 1}, "d": {"e": 2, "b": 1}, "f": {"b": 3}}));
    assert_eq!(shown(text, document.locate("c.b").culprit()), "1:11 1");
    assert_eq!(shown(text, document.locate("c").field()), "2:1 c");
}

#[test]
fn aliases_that_blow_up_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
    }
    let problems = problems(&text);
    assert!(problems.len() == 1 && problems[0].contains("more than 2000000 values"), "{problems:?}");
    assert_eq!(self::problems(&format!("{text}---\na: 1\n---\nb: 1\n")), problems, "told once");
    assert_eq!(self::problems("a: &a [*a]"), ["1:8 this alias stands inside the value that it stands for"]);
}

#[test]
fn nesting_without_end_is_refused() {
    assert_eq!(problems(&"[".repeat(100_000)).len(), 1);
    assert_eq!(problems(&"- ".repeat(100_000)).len(), 1);
}

#[test]
fn a_key_that_occurs_twice_is_named_and_the_last_one_counts() {
    let (documents, problems) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(documents[0].to_value(), json!({"a": 3, "b": 2}));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].duplicate);
    assert_eq!((problems[0].place.line, problems[0].message.as_str()), (3, "the key \"a\" occurs twice, first in line 1"));
}

#[test]
fn documents_behind_a_broken_one_are_read() {
    let text = "a: 1\n---\nb: [1,\n---\nc: 3\n---\n? [x]\n: 1\n---\nd: 4\n";
    let (documents, problems) = read(text);
    let values: Vec<Value> = documents.iter().map(super::Node::to_value).collect();
    assert_eq!(values, [json!({"a": 1}), json!({"c": 3}), json!({"d": 4})]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(problems[1].place.line, 7);
}

#[test]
fn a_text_of_comments_has_no_object() {
    let (documents, problems) = read("# nothing\n---\n# here\n");
    assert!(problems.is_empty() && documents.iter().all(super::Node::is_null), "{documents:?}");
}
