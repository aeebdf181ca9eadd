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
        // On Linux none of these fails.
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
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

    /// Waits until a look at the state gives a value, for so many milliseconds at the most; nil when it gave none.
    public func wait<Value>(milliseconds: Int, until look: (inout State) -> Value?) -> Value? {
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        end.tv_sec += milliseconds / 1000
        end.tv_nsec += milliseconds % 1000 * 1_000_000
        if end.tv_nsec >= 1_000_000_000 { (end.tv_sec, end.tv_nsec) = (end.tv_sec + 1, end.tv_nsec - 1_000_000_000) }
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while true {
            if let value = look(&state) { return value }
            if pthread_cond_timedwait(changed, lock, &end) == ETIMEDOUT { return look(&state) }
        }
    }

    /// Lets all who wait look again.
    public func wake() { pthread_cond_broadcast(changed) }

    /// Lets one who waits look again: enough where any of them would do the same.
    public func wakeOne() { pthread_cond_signal(changed) }
}
