import Glibc

/// Some state that threads share, and a place where they wait for it to change.
///
/// `@unchecked Sendable`: the state is only reached with the lock held.
public final class Monitor<State>: @unchecked Sendable {
    private var state: State
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    /// Takes in the state; nobody else may have any part of it.
    public init(_ state: sending State) {
        self.state = state
        // With default attributes neither fails on Linux.
        pthread_mutex_init(lock, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(lock)
        changed.deallocate()
        lock.deallocate()
    }

    /// Looks at the state, or changes it.
    public func withLock<Value>(_ body: (inout State) -> Value) -> Value {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body(&state)
    }

    /// Waits until a look at the state gives a value. It is looked at again whenever somebody has called `wake`.
    public func wait<Value>(until look: (inout State) -> Value?) -> Value {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while true {
            if let value = look(&state) { return value }
            pthread_cond_wait(changed, lock)
        }
    }

    /// Lets all who wait look again.
    public func wake() { pthread_cond_broadcast(changed) }

    /// Lets one who waits look again: enough where any of them would do the same.
    public func wakeOne() { pthread_cond_signal(changed) }
}
