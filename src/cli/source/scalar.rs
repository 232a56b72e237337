//! What a scalar means: as kubectl reads it, which is YAML 1.1 where that differs from 1.2 (`on` is true, `017` is 15).

use granit_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// The value of a scalar.
///
/// # Errors
/// In words, if the tag asks for what the text is not, or the number has no form in JSON.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let asked = tag.map(|tag| tag.core_suffix().unwrap_or("str"));
    match asked {
        None if style == ScalarStyle::Plain => plain(text),
        None | Some("str") => Ok(Value::String(text.to_owned())),
        Some(kind) => match (kind, plain(text)?) {
            ("null", value @ Value::Null) | ("bool", value @ Value::Bool(_)) => Ok(value),
            ("int", Value::Number(number)) if !number.is_f64() => Ok(Value::Number(number)),
            ("float", Value::Number(number)) => Ok(Value::Number(number)),
            _ => Err(format!("{text:?} is no {kind}, as its tag says")),
        },
    }
}

/// The text of a scalar that is a key.
///
/// # Errors
/// In words, if it can't be the name of a field.
pub(super) fn key(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<String, String> {
    match resolve(text, style, tag)? {
        Value::String(text) => Ok(text),
        value @ (Value::Bool(_) | Value::Number(_)) => Ok(value.to_string()),
        _ => Err("a key must be a text, not null".to_owned()),
    }
}

/// What a scalar without quotes means.
fn plain(text: &str) -> Result<Value, String> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Err(no_json(text)),
        _ if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF") => return Err(no_json(text)),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => match number(text) {
            Some(Some(number)) => Value::Number(number),
            Some(None) => return Err(no_json(text)),
            None => Value::String(text.to_owned()),
        },
        _ => Value::String(text.to_owned()),
    };
    Ok(value)
}

fn no_json(text: &str) -> String {
    format!("{text} is a number that JSON has no form for")
}

/// A number, if the text is one; the inner `None` is one without a form in JSON.
fn number(text: &str) -> Option<Option<Number>> {
    let digits = text.replace('_', "");
    let (negative, magnitude) = match digits.strip_prefix(['+', '-']) {
        Some(rest) => (digits.starts_with('-'), rest),
        None => (false, digits.as_str()),
    };
    if let Some(integer) = integer(magnitude) {
        let signed = if negative { 0_i64.checked_sub_unsigned(integer).map(Number::from) } else { Some(Number::from(integer)) };
        // Too far below zero for an integer: a float, with the precision that is left.
        return Some(signed.or_else(|| Number::from_f64(-(integer as f64))));
    }
    is_decimal(magnitude).then(|| digits.trim_start_matches('+').parse().ok().and_then(Number::from_f64))
}

/// An integer without sign in any of Go's bases; a leading zero means octal.
fn integer(text: &str) -> Option<u64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &text[2..]),
        [b'0', b'o' | b'O', ..] => (8, &text[2..]),
        [b'0', b'b' | b'B', ..] => (2, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    // from_str_radix takes a sign, which can't stand here.
    if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Whether a text without sign is digits, with a fraction and an exponent perhaps.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}
