//! Kubernetes' quantities, and what it takes for the `resources` of a container.

use serde_json::Value;

use super::is_label_key;

/// Suffixes whose amounts are so many times one.
const MULTIPLES: [(&str, f64); 12] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];
/// Suffixes whose amounts are one of so many parts of one.
const PARTS: [(&str, f64); 3] = [("m", 1e3), ("u", 1e6), ("n", 1e9)];
/// Resources of which Kubernetes knows by itself.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// The beginning of the name of memory in large pages.
const LARGE_PAGES: &str = "hugepages-";

/// How much a quantity is, such as `100m`, `1.5Gi` or `1e3`; none for what is no quantity. It may be less than nothing.
pub fn quantity(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let number: f64 = number.parse().ok()?;
    let amount = match suffix {
        "" => number,
        _ => match (MULTIPLES.iter().find(|(known, _)| *known == suffix), PARTS.iter().find(|(known, _)| *known == suffix)) {
            (Some((_, times)), _) => number * times,
            // Divided: `100m` must be exactly what `0.1` is.
            (_, Some((_, parts))) => number / parts,
            _ => number * 10_f64.powi(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
        },
    };
    Some(if text.starts_with('-') { -amount } else { amount })
}

/// What Kubernetes would say against the `resources` of a container, whose lists the schema has checked: each with the end of the field's
/// path, as in `requests.cpu`.
pub fn resource_problems(resources: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for list in ["requests", "limits"] {
        for (name, value) in resources[list].as_object().into_iter().flatten() {
            let reason = if !is_resource(name) {
                Some("is no resource: choose of cpu, memory, ephemeral-storage, hugepages-SIZE and DOMAIN/DEVICE".to_owned())
            } else if amount(value).is_none_or(|amount| amount < 0.0) {
                Some(format!("{value} is no quantity: write for example 100m or 128Mi"))
            } else if list == "requests" {
                against_limit(name, value, &resources["limits"][name])
            } else {
                None
            };
            found.extend(reason.map(|reason| (format!("{list}.{name}"), reason)));
        }
    }
    found
}

/// What is wrong with a request beside the limit, which may be none.
fn against_limit(name: &str, request: &Value, limit: &Value) -> Option<String> {
    let whole = name.contains('/') || name.starts_with(LARGE_PAGES);
    match (amount(request)?, amount(limit)) {
        (asked, Some(most)) if asked > most => Some(format!("{request} is more than the limit, {limit}: lower it, or raise limits.{name}")),
        (asked, most) if whole && most != Some(asked) => Some(format!("must be the same as limits.{name}: it can't be shared")),
        _ => None,
    }
}

fn is_resource(name: &str) -> bool {
    STANDARD.contains(&name) || name.starts_with(LARGE_PAGES) || name.contains('/') && is_label_key(name)
}

fn amount(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => quantity(text),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_of_a_quantity_is_understood_and_nothing_else() {
        for (text, amount) in [
            ("1", 1.0),
            ("0", 0.0),
            ("+2", 2.0),
            ("-1", -1.0),
            ("100m", 0.1),
            (".5", 0.5),
            ("2.", 2.0),
            ("500u", 0.0005),
            ("7n", 7e-9),
            ("1k", 1000.0),
            ("1.5Gi", 1_610_612_736.0),
            ("1E", 1e18),
            ("1Ei", 1_152_921_504_606_846_976.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
        ] {
            assert_eq!(quantity(text), Some(amount), "{text}");
        }
        for text in ["", "abc", "1K", "1 Gi", "1gi", "m", "1.2.3", "0x1", "inf", "NaN", "1e", "--1", "1mm", "1,5"] {
            assert_eq!(quantity(text), None, "{text:?}");
        }
    }

    #[test]
    fn resources_are_refused_as_kubernetes_does() {
        let found =
            |resources: Value| resource_problems(&resources).into_iter().map(|(path, why)| format!("{path}: {why}")).collect::<Vec<_>>();
        let good = json!({"requests": {"cpu": 1, "memory": "64Mi", "example.com/device": "2"},
            "limits": {"cpu": "1000m", "memory": "64Mi", "example.com/device": 2}});
        assert_eq!(found(good), Vec::<String>::new());
        for (resources, start) in [
            (json!({"requests": {"cpu": "abc"}}), "requests.cpu: \"abc\" is no quantity: write for example 100m"),
            (json!({"limits": {"cpu": "-1"}}), "limits.cpu: \"-1\" is no quantity"),
            (json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}), "requests.cpu: \"2\" is more than the limit, \"1500m\": lower"),
            (json!({"requests": {"cpus": "1"}}), "requests.cpus: is no resource: choose of cpu"),
            (json!({"requests": {"example.com/device": 1}}), "requests.example.com/device: must be the same as limits."),
        ] {
            let found = found(resources);
            assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
        }
    }
}
