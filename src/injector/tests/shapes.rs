//! A golden for each shape of a pod: `shapes/*.yaml`, whose first line says how it is injected.
//!
//! What a golden shows of our own containers and volumes is what differs from those of an ordinary pod, which the shape `plain` shows whole.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use super::template;
use crate::injector::{InjectError, Owner, ProxyConfigs, Surroundings, Template, inject, patch, uninject};

/// What the first line of a shape may say.
struct Setting {
    native: bool,
    level: Option<String>,
    owner: Option<Owner>,
    template: Template,
}

// === impl Setting ===

impl Setting {
    fn read(line: &str) -> Self {
        let template = template();
        let mut setting = Self { native: true, level: None, owner: None, template: template.clone() };
        let mut values = template.values;
        let mut mesh = template.mesh;
        for word in line.trim_start_matches('#').split_whitespace() {
            match word.split_once('=') {
                None if word == "ordinary" => setting.native = false,
                None if word == "hold" => values.proxy.hold_application = true,
                None if word == "merge-off" => mesh.enable_prometheus_merge = false,
                None if word == "cni" => values.cni = true,
                None if word == "no-secrets" => values.image_pull_secrets.clear(),
                Some(("level", level)) => setting.level = Some(level.to_owned()),
                Some(("network", network)) => values.network = network.to_owned(),
                Some(("default", names)) => values.default_templates = names.split(',').map(str::to_owned).collect(),
                Some(("alias", names)) => {
                    _ = values.template_aliases.insert("alias".to_owned(), names.split(',').map(str::to_owned).collect())
                }
                Some(("owner", name)) => {
                    setting.owner = Some(Owner { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned(), name: name.to_owned() });
                }
                _ => panic!("{word} says nothing here"),
            }
        }
        values.templates = templates();
        setting.template = Template::new(values, mesh);
        setting
    }

    fn inject(&self, pod: &Value) -> Result<Value, InjectError> {
        let labels: Option<BTreeMap<String, String>> =
            self.level.as_ref().map(|level| [("pod-security.kubernetes.io/enforce".to_owned(), level.clone())].into());
        let proxy_configs = ProxyConfigs::default();
        let surroundings = Surroundings {
            namespace_labels: labels.as_ref(),
            owner: self.owner.as_ref(),
            ..Surroundings::of("shop", &proxy_configs, self.native)
        };
        inject(pod, &surroundings, &self.template)
    }
}

/// Templates of the mesh's owner.
fn templates() -> BTreeMap<String, String> {
    let texts = [
        ("env", "spec:\n  containers:\n  - name: istio-proxy\n    env:\n    - {name: TEAM, value: a}\n"),
        ("init", "spec:\n  initContainers:\n  - {name: prepare, image: prepare}\n  dnsConfig: {searches: [shop.example]}\n"),
        ("without-debug", "spec:\n  containers:\n  - {name: debug, $patch: delete}\n"),
        (
            "named",
            "metadata:\n  labels:\n    team: {{ index .ObjectMeta.Labels \"app\" | default \"none\" | quote }}\nspec:\n  containers:\n\
             {{- range $i, $container := .Spec.Containers }}\n  - name: {{ $container.Name }}\n    env:\n    - {name: WORKLOAD, value: {{ $.DeploymentMeta.Name }}}\n\
             {{- end }}\n",
        ),
    ];
    texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

fn shapes() -> Vec<(String, Setting, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/injector/tests/shapes");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let (first, _) = text.split_once('\n').unwrap();
        assert!(first.starts_with('#'), "{}: the first line says how it is injected", path.display());
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), Setting::read(first), serde_saphyr::from_str(&text).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// The pod without what an ordinary pod of its sort has too.
fn telling(mut pod: Value, usual: &Value) -> Value {
    for field in ["initContainers", "containers", "volumes"] {
        let usual = |name: &Value| {
            let lists = ["initContainers", "containers", "volumes"].map(|field| usual["spec"][field].as_array());
            lists.into_iter().flatten().flatten().find(|item| item["name"] == *name && item["name"] != "web")
        };
        for item in pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(usual) = usual(&item["name"]) else { continue };
            let fields = item.as_object_mut().unwrap();
            let missing: Vec<&String> = usual.as_object().unwrap().keys().filter(|field| !fields.contains_key(*field)).collect();
            let missing = json!(missing);
            fields.retain(|field, value| {
                if let (Value::Array(list), Some(Value::Array(usual))) = (value, usual.get(field)) {
                    // Of variables, arguments and mounts only those that are not usual.
                    if field != "args" {
                        list.retain(|item| !usual.contains(item));
                        return !list.is_empty();
                    }
                }
                true
            });
            fields.retain(|field, value| field == "name" || usual.get(field) != Some(value));
            if missing != json!([]) {
                fields.insert("(without)".to_owned(), missing);
            }
        }
    }
    if pod["spec"]["volumes"].as_array().is_some_and(|volumes| volumes.iter().all(|volume| volume.as_object().unwrap().len() == 1)) {
        pod["spec"].as_object_mut().unwrap().remove("volumes");
    }
    pod
}

#[test]
fn every_shape_gets_what_it_should() {
    let plain = |native: bool| {
        let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web"}]}});
        inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), native), &template()).unwrap()
    };
    let usual = [plain(false), plain(true)];
    let shapes = shapes();
    assert!(shapes.len() >= 60, "{}", shapes.len());
    for (name, setting, pod) in shapes {
        let shown = match setting.inject(&pod) {
            Ok(injected) if name.starts_with("plain") => injected,
            Ok(injected) => telling(injected, &usual[usize::from(setting.native)]),
            Err(error) => json!(format!("refused: {error}")),
        };
        insta::with_settings!({ snapshot_suffix => name, prepend_module_to_snapshot => false, snapshot_path => "golden" }, {
            insta::assert_yaml_snapshot!("shape", shown);
        });
    }
}

#[test]
fn every_shape_keeps_the_laws() {
    for (name, setting, pod) in shapes() {
        let Ok(injected) = setting.inject(&pod) else { continue };
        assert_eq!(setting.inject(&injected).unwrap(), injected, "{name}: a second injection changes nothing");
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch::between(&pod, injected.clone())).unwrap();
        assert_eq!(patched, injected, "{name}: the patch makes the pod");
        // A pod that came injected goes back further. What templates of the mesh's owner did beyond lists and labels stays.
        let stays = ["template-alias", "template-alone", "template-init"].contains(&name.as_str());
        if !name.starts_with("injected-") && !stays {
            assert_eq!(uninject(&injected), pod, "{name}: what was done is undone");
        }
    }
}
