//! Which lists of a pod have items with a key, as Kubernetes' API declares it.

/// What is known of a map's fields. What is not named is a map that merges, or a list that is replaced.
pub(super) struct Schema {
    fields: &'static [(&'static str, Field)],
    /// Whether all fields but the name exclude each other.
    pub(super) one_source: bool,
}

/// What is known of a field.
pub(super) enum Field {
    /// A map.
    Map(&'static Schema),
    /// A list of maps that a key tells apart.
    Items(Items),
    /// A list of texts that adds up.
    Set,
}

/// A list of maps.
pub(super) struct Items {
    /// The field that tells them apart.
    pub(super) key: &'static str,
    /// How two of one key merge; `None` if the new one takes the old one's place.
    pub(super) item: Option<&'static Schema>,
}

// === impl Schema ===

impl Schema {
    /// Nothing is known.
    pub(super) const PLAIN: Self = Self::of(&[]);

    const fn of(fields: &'static [(&'static str, Field)]) -> Self {
        Self { fields, one_source: false }
    }

    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, field)| field)
    }
}

const fn items(key: &'static str, schema: &'static Schema) -> Field {
    Field::Items(Items { key, item: Some(schema) })
}

static PLAIN: Schema = Schema::PLAIN;

static VOLUME: Schema = Schema { fields: &[], one_source: true };

/// A container of any sort.
pub(super) static CONTAINER: Schema = Schema::of(&[
    // A variable has a value or a source, never both.
    ("env", Field::Items(Items { key: "name", item: None })),
    ("ports", items("containerPort", &PLAIN)),
    ("volumeMounts", items("mountPath", &PLAIN)),
    ("volumeDevices", items("devicePath", &PLAIN)),
]);

static SPEC: Schema = Schema::of(&[
    ("containers", items("name", &CONTAINER)),
    ("initContainers", items("name", &CONTAINER)),
    ("ephemeralContainers", items("name", &CONTAINER)),
    ("volumes", items("name", &VOLUME)),
    ("imagePullSecrets", items("name", &PLAIN)),
    ("resourceClaims", items("name", &PLAIN)),
    ("schedulingGates", items("name", &PLAIN)),
    ("hostAliases", items("ip", &PLAIN)),
    ("topologySpreadConstraints", items("topologyKey", &PLAIN)),
]);

static METADATA: Schema = Schema::of(&[("ownerReferences", items("uid", &PLAIN)), ("finalizers", Field::Set)]);

/// A whole pod.
pub(super) static POD: Schema = Schema::of(&[("metadata", Field::Map(&METADATA)), ("spec", Field::Map(&SPEC))]);
