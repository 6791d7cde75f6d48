//! A map of bounded size that drops the entries that were not used for the longest time.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// A map whose entries weigh at most `capacity` together. It has two halves. An entry that is used moves to the newer half; when that is
/// full, the older half is dropped and the newer one becomes the older one. So each operation takes constant time on average, and an entry
/// stays for at least as long as it takes to fill the newer half once after its last use.
#[derive(Debug)]
pub(crate) struct BoundedCache<K, V> {
    newer: HashMap<K, Weighed<V>>,
    older: HashMap<K, Weighed<V>>,
    /// What the entries of `newer` weigh.
    newer_weight: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Weighed<V> {
    value: V,
    weight: usize,
}

impl<K: Eq + Hash, V> BoundedCache<K, V> {
    /// An empty cache. It reserves no memory.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), newer_weight: 0, capacity }
    }

    /// The value of a key.
    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some((key, Weighed { value, weight })) = self.older.remove_entry(key) {
            self.insert(key, value, weight);
        }
        self.newer.get_mut(key).map(|weighed| &mut weighed.value)
    }

    /// Sets the value of a key. If it weighs more than half the capacity, all other entries are dropped; if it weighs more than the capacity, it is not
    /// stored.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.capacity {
            return;
        }
        let half = self.capacity / 2;
        if self.newer_weight + weight > half {
            self.older = std::mem::take(&mut self.newer);
            if self.newer_weight.max(weight) > half {
                self.older.clear();
            }
            self.newer_weight = 0;
        }
        self.newer_weight += weight;
        self.newer.insert(key, Weighed { value, weight });
    }

    /// Removes a key.
    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(Weighed { value, weight }) = self.newer.remove(key) {
            self.newer_weight -= weight;
            return Some(value);
        }
        self.older.remove(key).map(|weighed| weighed.value)
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        self.newer.clear();
        self.older.clear();
        self.newer_weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPACITY: usize = 16;

    proptest! {
        #[test]
        fn it_has_what_was_set_last_and_weighs_no_more_than_its_capacity(
            steps in proptest::collection::vec((0..20_u8, any::<Option<u8>>(), 1..20_usize), 0..200),
        ) {
            let (mut cache, mut all) = (BoundedCache::new(CAPACITY), HashMap::new());
            for (key, value, weight) in steps {
                match value {
                    Some(value) => {
                        cache.insert(key, value, weight);
                        all.insert(key, value);
                        prop_assert_eq!(cache.get(&key).copied(), (weight <= CAPACITY).then_some(value));
                    }
                    None => {
                        let removed = cache.remove(&key);
                        prop_assert!(removed.is_none() || removed == all.remove(&key));
                        prop_assert!(cache.get(&key).is_none());
                    }
                }
                let weight = |half: &HashMap<u8, Weighed<u8>>| half.values().map(|weighed| weighed.weight).sum::<usize>();
                prop_assert_eq!(weight(&cache.newer), cache.newer_weight);
                prop_assert!(weight(&cache.newer) + weight(&cache.older) <= CAPACITY);
                for (key, weighed) in cache.newer.iter().chain(&cache.older) {
                    prop_assert_eq!(Some(&weighed.value), all.get(key));
                }
            }
        }
    }

    #[test]
    fn what_is_used_stays_and_what_is_too_heavy_is_not_kept() {
        let mut cache = BoundedCache::new(CAPACITY);
        cache.insert(-1, 0, 1);
        for n in 0..100 {
            cache.insert(n, n, 1);
            assert!(n % 3 != 0 || cache.get(&-1).is_some());
        }
        assert!(cache.get(&0).is_none() && cache.get(&99).is_some());
        cache.insert(7, 7, 100);
        assert!(cache.get(&7).is_none() && cache.get(&99).is_some());
    }
}
