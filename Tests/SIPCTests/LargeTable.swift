import CArrow
import Glibc

/// A table of one batch with columns of uint8 in memory of the test's own, as a C stream.
///
/// The memory is the test's, and has to outlive the stream and what was read from it.
final class LargeTable {
    private let columns: [UnsafeRawBufferPointer]
    private var isRead = false
    /// How many of its arrays have been released.
    private(set) var releasedCount = 0

    /// Columns of the same length.
    init(_ columns: [UnsafeRawBufferPointer]) { self.columns = columns }

    /// The stream; it keeps the table alive until it is released, and each array does so, too.
    func stream() -> ArrowArrayStream {
        var stream = ArrowArrayStream()
        stream.private_data = Unmanaged.passRetained(self).toOpaque()
        stream.get_schema = { stream, schema in
            schema!.pointee = LargeTable.of(stream!.pointee.private_data).schema()
            return 0
        }
        stream.get_next = { stream, array in
            array!.pointee = LargeTable.of(stream!.pointee.private_data).next()
            return 0
        }
        stream.get_last_error = { _ in nil }
        stream.release = { stream in
            Unmanaged<LargeTable>.fromOpaque(stream!.pointee.private_data).release()
            stream!.pointee.release = nil
        }
        return stream
    }

    private static func of(_ raw: UnsafeMutableRawPointer?) -> LargeTable {
        Unmanaged<LargeTable>.fromOpaque(raw!).takeUnretainedValue()
    }

    private func schema() -> ArrowSchema {
        let children = UnsafeMutablePointer<UnsafeMutablePointer<ArrowSchema>?>.allocate(capacity: columns.count)
        for index in columns.indices {
            let child = UnsafeMutablePointer<ArrowSchema>.allocate(capacity: 1)
            child.initialize(to: ArrowSchema())
            child.pointee.format = UnsafePointer(strdup("C"))
            child.pointee.name = UnsafePointer(strdup("c\(index)"))
            child.pointee.release = { schema in
                free(UnsafeMutablePointer(mutating: schema!.pointee.format))
                free(UnsafeMutablePointer(mutating: schema!.pointee.name))
                schema!.pointee.release = nil
            }
            children[index] = child
        }
        var schema = ArrowSchema()
        schema.format = UnsafePointer(strdup("+s"))
        schema.n_children = Int64(columns.count)
        schema.children = children
        schema.release = { schema in
            for index in 0..<Int(schema!.pointee.n_children) {
                let child = schema!.pointee.children[index]!
                child.pointee.release?(child)
                child.deallocate()
            }
            schema!.pointee.children.deallocate()
            free(UnsafeMutablePointer(mutating: schema!.pointee.format))
            schema!.pointee.release = nil
        }
        return schema
    }

    private func next() -> ArrowArray {
        if isRead { return ArrowArray() }
        isRead = true
        let children = UnsafeMutablePointer<UnsafeMutablePointer<ArrowArray>?>.allocate(capacity: columns.count)
        for (index, column) in columns.enumerated() {
            let child = UnsafeMutablePointer<ArrowArray>.allocate(capacity: 1)
            child.initialize(to: array(length: column.count, buffers: [nil, column.baseAddress]))
            children[index] = child
        }
        var root = array(length: columns.first?.count ?? 0, buffers: [nil])
        root.n_children = Int64(columns.count)
        root.children = children
        return root
    }

    private func array(length: Int, buffers: [UnsafeRawPointer?]) -> ArrowArray {
        let list = UnsafeMutablePointer<UnsafeRawPointer?>.allocate(capacity: buffers.count)
        list.initialize(from: buffers, count: buffers.count)
        var array = ArrowArray()
        array.length = Int64(length)
        array.n_buffers = Int64(buffers.count)
        array.buffers = list
        array.private_data = Unmanaged.passRetained(self).toOpaque()
        array.release = { array in
            for index in 0..<Int(array!.pointee.n_children) {
                let child = array!.pointee.children[index]!
                child.pointee.release?(child)
                child.deallocate()
            }
            array!.pointee.children?.deallocate()
            array!.pointee.buffers.deallocate()
            LargeTable.of(array!.pointee.private_data).releasedCount += 1
            Unmanaged<LargeTable>.fromOpaque(array!.pointee.private_data).release()
            array!.pointee.release = nil
        }
        return array
    }
}
