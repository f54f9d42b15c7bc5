//! The chart as it is rendered: what is committed must be what Helm makes of it now.
//!
//! `OTTLA_REFRESH=1` writes the files instead of comparing them; `make fix` does so.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::tree::root;

/// The rendered files, and the values beside them.
const GOLDEN: &str = "charts/ottla/golden";
/// The line that brings Helm into the cache folder.
const REMEDY: &str = "e2e/node-image/build --tools";

#[test]
#[ignore = "needs Helm, which make e2e builds: make verify runs it"]
fn the_chart_renders_as_committed() {
    let Some(helm) = helm() else {
        ottla_e2e::unmet("there is no helm", REMEDY);
        return;
    };
    let mut stale = Vec::new();
    for name in ["default", "namespaced", "everything"] {
        let values = format!("{GOLDEN}/{name}.values.yaml");
        let arguments = root().join(&values).is_file().then(|| format!("--values={values}"));
        let said = Command::new(&helm)
            .args(["template", "demo", "charts/ottla", "--namespace", "ottla"])
            .args(arguments)
            .current_dir(root())
            .output()
            .expect("helm runs");
        assert!(said.status.success(), "helm template: {}", String::from_utf8_lossy(&said.stderr));
        let rendered = without_schemas(&String::from_utf8(said.stdout).expect("helm writes text"));
        let path = root().join(GOLDEN).join(format!("{name}.yaml"));
        if std::env::var_os("OTTLA_REFRESH").is_some() {
            std::fs::write(&path, rendered).expect("the golden file is written");
        } else if std::fs::read_to_string(&path).unwrap_or_default() != rendered {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "`make fix` refreshes: {stale:?}");
}

/// The helm of this machine, or the one that the Kubernetes tests use.
fn helm() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let built = std::fs::read_dir(cache.join("ottla")).into_iter().flatten().flatten();
    let built = built.filter(|entry| entry.file_name().to_string_lossy().starts_with("tools-"));
    // The built one first: its version is pinned, and versions of Helm differ in white space.
    let folders = built.map(|entry| entry.path()).chain(std::env::split_paths(&on_path));
    folders.map(|folder| folder.join("helm")).find(|helm| helm.is_file())
}

/// The documents, those of CRDs without their schemas, which lie in `crds/` and are checked there.
fn without_schemas(rendered: &str) -> String {
    let documents = rendered.split_inclusive("\n---\n").map(|document| {
        let crd = document.contains("kind: CustomResourceDefinition\n");
        match document.split_once("\nspec:\n") {
            Some((head, rest)) if crd => {
                format!("{head}\n{}", if rest.ends_with("\n---\n") { "---\n" } else { "" })
            }
            _ => document.to_owned(),
        }
    });
    documents.collect()
}

#[test]
fn the_golden_values_set_every_value_of_the_chart() {
    let read = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).expect("the values are there");
        serde_saphyr::from_str::<Value>(&text).expect("the values are YAML")
    };
    let (mut known, mut set) = (BTreeSet::new(), BTreeSet::new());
    names("", &read("charts/ottla/values.yaml"), &mut known);
    names("", &read(&format!("{GOLDEN}/everything.values.yaml")), &mut set);
    let missing: Vec<&String> = known.difference(&set).collect();
    assert!(missing.is_empty(), "everything.values.yaml does not set {missing:?}");
}

/// The dotted names of all values and of the groups that hold them.
fn names(prefix: &str, value: &Value, all: &mut BTreeSet<String>) {
    let Value::Object(fields) = value else { return };
    for (name, inner) in fields {
        let name = format!("{prefix}.{name}");
        names(&name, inner, all);
        all.insert(name);
    }
}

#[test]
fn only_schemas_of_crds_are_left_out() {
    let rendered = "---\nkind: A\nspec:\n  b: 1\n---\nkind: CustomResourceDefinition\nmetadata:\n  c: 2\nspec:\n  d: 3\n---\n\
                    kind: E\nspec:\n  f: 4\n";
    let expected = "---\nkind: A\nspec:\n  b: 1\n---\nkind: CustomResourceDefinition\nmetadata:\n  c: 2\n---\nkind: E\nspec:\n  f: 4\n";
    assert_eq!(without_schemas(rendered), expected);
}
