//! A persistent set of values that mostly has one.

use std::ops::Bound;

use rpds::RedBlackTreeSetSync;

/// At least one value, in their order. Cloning it is free but for that of a sole value, which stands for itself: of ten thousand hosts nearly
/// all have one object, and a tree for each would be most of what the indexes take.
#[derive(Clone, Debug)]
pub(super) enum Group<V: Ord> {
    One(V),
    Many(RedBlackTreeSetSync<V>),
}

impl<V: Ord + Clone> Group<V> {
    /// Puts a value in.
    pub(super) fn insert(&mut self, value: V) {
        match self {
            Self::One(only) if *only == value => {}
            Self::One(only) => {
                let mut values = RedBlackTreeSetSync::new_sync();
                values.insert_mut(only.clone());
                values.insert_mut(value);
                *self = Self::Many(values);
            }
            Self::Many(values) => values.insert_mut(value),
        }
    }

    /// Takes a value out, if it is in. Whether the group is empty now, which must go then.
    pub(super) fn remove(&mut self, value: &V) -> bool {
        match self {
            Self::One(only) => only == value,
            Self::Many(values) => {
                values.remove_mut(value);
                values.is_empty()
            }
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(values) => values.size(),
        }
    }

    /// All values.
    pub(super) fn iter(&self) -> impl Iterator<Item = &V> + use<'_, V> {
        self.from(None)
    }

    /// The values from that one on.
    pub(super) fn from<'a>(&'a self, start: Option<&'a V>) -> impl Iterator<Item = &'a V> + use<'a, V> {
        let (one, many) = match self {
            Self::One(only) => (start.is_none_or(|start| start <= only).then_some(only), None),
            Self::Many(values) => (None, Some(values.range((start.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded)))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(group: &Group<u32>) -> Vec<u32> {
        group.iter().copied().collect()
    }

    #[test]
    fn a_group_is_a_set_in_order_however_many_values_it_has() {
        let mut group = Group::One(5);
        group.insert(5);
        assert_eq!((values(&group), group.len()), (vec![5], 1));
        group.insert(3);
        group.insert(9);
        assert_eq!((values(&group), group.len()), (vec![3, 5, 9], 3));
        assert_eq!(group.from(Some(&4)).copied().collect::<Vec<_>>(), [5, 9]);
        assert!(!group.remove(&7) && !group.remove(&3) && !group.remove(&9));
        assert!(group.remove(&5));
        assert_eq!(Group::One(5).from(Some(&6)).count(), 0);
        assert!(!Group::One(5).remove(&6));
    }
}
