//! Istio 1.4's ways to say things: flags, features and values.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::yaml_documents;
use crate::cli::{Exit, tests::run};

/// The objects of a description, the MeshInstall first.
fn generated(arguments: &str, stdin: &str) -> Vec<Value> {
    let told = run(&format!("manifest generate {arguments}"), stdin);
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""), "{arguments}");
    yaml_documents(&told.stdout)
}

fn refused(command: &str, stdin: &str) -> String {
    let told = run(command, stdin);
    assert_eq!((told.exit, told.stdout.as_str()), (Exit::Usage, ""), "{command}");
    told.stderr
}

#[test]
fn features_and_values_mean_what_they_meant() {
    for (theirs, ours) in [
        ("cni.enabled=true", "components.cni.enabled=true"),
        ("autoInjection.enabled=false", "components.injector.enabled=false"),
        ("configManagement.components.galley.k8s.replicaCount=2", "components.galley.replicas=2"),
        ("gateways.components.egressGateway.enabled=true", "gateways.egress[istio-egressgateway].enabled=true"),
        (
            "gateways.enabled=false,profile=demo",
            "profile=demo,gateways.ingress[istio-ingressgateway].enabled=false,gateways.egress[istio-egressgateway].enabled=false",
        ),
        ("gateways.enabled=true", "profile=default"),
        ("telemetry.enabled=false,policy.enabled=false", "profile=default"),
        ("defaultNamespace=mesh", "namespace=mesh"),
        ("defaultNamespace=mesh,gateways.namespace=mesh,cni.components.cni.namespace=mesh", "namespace=mesh"),
        ("security.components.citadel.namespace=istio-system,security.namespace=istio-system", "profile=default"),
        ("trafficManagement.components.pilot.values.autoscaleMax=3", "values.pilot.autoscaleMax=3"),
        ("gateways.components.egressGateway.values.enabled=true", "gateways.egress[istio-egressgateway].enabled=true"),
        ("telemetry.components.telemetry.values.enabled=false", "profile=default"),
        ("values.tracing.enabled=true,values.tracing.provider=zipkin", "addons.tracing.enabled=true"),
    ] {
        let [theirs, ours] = [theirs, ours].map(|set| generated(&format!("--set {set}"), ""));
        assert_eq!(theirs[1..], ours[1..]);
    }
    for (set, wanted) in [
        ("telemetry.enabled=true", "spec.values.mixer.telemetry.enabled: "),
        ("security.components.nodeAgent.enabled=true", "spec.values.nodeagent.enabled: "),
        ("trafficManagement.components.pilot.k8s.strategy=x", "k8s.strategy: has no counterpart"),
        ("security.components.citadel.namespace=x", "--set security.components.citadel.namespace: all parts are in the mesh's namespace"),
        ("defaultNamespace=mesh,security.namespace=istio-system", "--set security.namespace: all parts"),
        ("security.components.citadel.values.x=1", "spec.values.security.x: "),
        ("trafficManagement.components.namespace=x", "all parts are in the mesh's namespace"),
        ("values.tracing.provider=jaeger", "spec.values.tracing.provider: "),
        ("global.mtls.enabled=true", "did you mean \"values.global.mtls.enabled\"?"),
        ("elsewhere.enabled=true", "has no field \"elsewhere\", it has "),
    ] {
        let told = refused(&format!("manifest generate --set {set}"), "");
        assert!(told.contains(wanted), "{set}: {told}");
    }
}

#[test]
fn a_control_plane_of_istios_is_read_with_its_features() {
    let of = |spec: &str| format!("apiVersion: install.istio.io/v1alpha2\nkind: IstioControlPlane\nspec: {spec}\n");
    let spec = "{profile: default, defaultNamespace: mesh, telemetry: {enabled: false}, configManagement: {enabled: true, components: {namespace: \
                mesh, galley: {enabled: false}}}, gateways: {enabled: true, components: {egressGateway: {enabled: true, k8s: {service: {type: NodePort}}}}}}";
    let told = &generated("-f -", &of(spec))[0]["spec"];
    let egress = json!([{"name": "istio-egressgateway", "enabled": true, "service": {"type": "NodePort"}}]);
    let wanted = json!({"profile": "default", "namespace": "mesh", "values": {"mixer": {"telemetry": {"enabled": false}}},
        "components": {"galley": {"enabled": false}}, "gateways": {"egress": egress}});
    assert_eq!(told, &wanted);
    // What a part says of its chart is laid over what all say, whatever the order.
    let spec = "{trafficManagement: {namespace: istio-system, components: {pilot: {namespace: istio-system, values: {autoscaleMax: 3}}}}, \
                values: {pilot: {autoscaleMax: 9, autoscaleMin: 2}}}";
    assert_eq!(generated("-f -", &of(spec))[0]["spec"], json!({"values": {"pilot": {"autoscaleMax": 3, "autoscaleMin": 2}}}));
    let told =
        refused("manifest generate -f -", &of("{defaultNamespace: mesh, security: {components: {citadel: {namespace: istio-system}}}}"));
    assert!(told.contains("spec.security.components.citadel.namespace: all parts"), "{told}");
    let told = refused(
        "manifest generate -f -",
        &of("{security: {components: {namespace: other}}, thirdParty: {enabled: true}, autoInjection: {x: 1}}"),
    );
    for wanted in
        ["spec.security.components.namespace: all parts", "spec.thirdParty.enabled has no counterpart", "spec.autoInjection.x has no"]
    {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

#[test]
fn flags_are_taken_and_o_is_a_directory() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out").display().to_string();
    let told = run(&format!("manifest generate --force --logtostderr -o {out} --set profile=minimal"), "");
    assert!(told.exit == Exit::Clean && told.stdout.is_empty() && told.stderr.contains(" objects written to "), "{told:?}");
    let first = std::fs::read_to_string(format!("{out}/00-meshinstall-mesh.yaml")).unwrap();
    assert_eq!(yaml_documents(&first)[0]["kind"], "MeshInstall");
    assert!(refused(&format!("manifest generate -o {out} -d {out}"), "").contains("both name a directory"));
    assert_eq!(generated("--verbose -o yaml", "").len(), generated("", "").len());

    assert_eq!(run("version --remote=false -s", "").stdout, run("version --remote=false", "").stdout);
    assert_eq!(run("version --remote=false --short=false", "").stdout, run("version --remote=false -o yaml", "").stdout);
    assert!(run("manifest versions", "").stdout.contains(&format!("install ferromesh {}", env!("CARGO_PKG_VERSION"))));
    std::fs::create_dir(folder.path().join("out/deeper")).unwrap();
    let unreachable = format!("verify-install -R -f {out} -c {out}/none");
    assert_eq!(run(&unreachable, "").exit, Exit::Unreachable);
}

#[test]
fn a_part_of_a_profile_is_shown_by_its_path_in_1_4() {
    for (theirs, ours) in [
        ("trafficManagement.components.pilot", "components.pilot"),
        ("trafficManagement.components.pilot.k8s", "components.pilot"),
        ("trafficManagement.components.pilot.k8s.resources.requests.cpu", "components.pilot.resources.requests.cpu"),
        ("configManagement", "components.galley"),
        ("gateways.components.ingressGateway.k8s.service.ports", "gateways.ingress[istio-ingressgateway].service.ports"),
        ("gateways.components.egressGateway.enabled", "gateways.egress[istio-egressgateway].enabled"),
        ("values.global.proxy", "values.global.proxy"),
    ] {
        let dumped = |path: &str| run(&format!("profile dump --config-path {path} demo"), "");
        let (theirs, ours) = (dumped(theirs), dumped(ours));
        assert_eq!((ours.exit, ours.stdout.is_empty()), (Exit::Clean, false));
        assert_eq!((theirs.exit, theirs.stdout, theirs.stderr), (ours.exit, ours.stdout, ours.stderr));
    }
    let none = refused("profile dump --config-path trafficManagement.components.pilot.k8s.env", "");
    assert_eq!(none, "error: --config-path trafficManagement.components.pilot.k8s.env: the profile sets nothing at components.pilot.env\n");
    assert_eq!(refused("profile dump -p nosuch", ""), "error: --config-path nosuch: the profile sets nothing there\n");
}

#[test]
fn flags_without_effect_are_taken_by_the_verbs_that_had_them() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (first, second) in [("a", "minimal"), ("b", "default")] {
        let out = format!("{}/deep", at(first));
        assert_eq!(run(&format!("manifest generate -o {out} --set profile={second}"), "").exit, Exit::Clean);
    }
    let (flat, deep) = (format!("manifest diff {} {}", at("a"), at("b")), format!("manifest diff -r {} {}", at("a"), at("b")));
    assert!(refused(&flat, "").contains("use -R for those of its directories"), "there are no files but in the folder below");
    let found = run(&format!("{deep} --verbose --dry-run --exit-code"), "");
    assert!(found.exit == Exit::Findings && found.stdout.contains("Deployment istio-system/istio-galley: only in"), "{found:?}");

    let dry = run(&format!("manifest generate --dry-run -o {}", at("none")), "");
    assert!(dry.exit == Exit::Clean && dry.stderr.contains(" objects would be written to ") && dry.stdout.is_empty(), "{dry:?}");
    assert!(!folder.path().join("none").exists());
    assert_eq!(generated("--dry-run --logtostderr=true", ""), generated("", ""));

    for verb in ["profile list", "profile dump demo", "profile diff demo default", "manifest versions"] {
        let (plain, flagged) = (run(verb, ""), run(&format!("{verb} --logtostderr --verbose=false --dry-run"), ""));
        assert_eq!((flagged.exit, flagged.stdout, flagged.stderr), (plain.exit, plain.stdout, plain.stderr), "{verb}");
    }
    assert_eq!(run("manifest migrate --dry-run -", "global: {}\n").exit, Exit::Clean);
    for verb in ["verify-install", "manifest verify-install"] {
        assert_eq!(run(&format!("{verb} --enableVerbose=false -c {}", at("none")), "").exit, Exit::Unreachable, "{verb}");
    }
}

#[test]
fn values_and_control_planes_become_a_meshinstall() {
    let told = run("manifest migrate -", "global: {mtls: {auto: true}}\npilot: {replicaCount: 2}\n");
    assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
    let mesh = &yaml_documents(&told.stdout)[0];
    assert_eq!((&mesh["kind"], &mesh["metadata"]["name"]), (&json!("MeshInstall"), &json!("mesh")));
    assert_eq!(mesh["spec"], json!({"values": {"global": {"mtls": {"auto": true}}, "pilot": {"replicaCount": 2}}}));
    let of_istio = "apiVersion: install.istio.io/v1alpha2\nkind: IstioControlPlane\nspec: {profile: demo}\n";
    assert_eq!(yaml_documents(&run("manifest migrate -", of_istio).stdout)[0]["spec"], json!({"profile": "demo"}));
    assert!(refused("manifest migrate -", "mixer: {policy: {enabled: true}}\n").contains("spec.values.mixer.policy.enabled"));
}
