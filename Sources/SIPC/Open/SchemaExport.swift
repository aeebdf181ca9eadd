import CArrow

/// The memory that an exported schema node owns, freed by its release callback.
private final class SchemaNode {
    let format: [CChar]
    let name: [CChar]
    let metadata: [CChar]
    let children: UnsafeMutablePointer<UnsafeMutablePointer<ArrowSchema>?>
    let storage: UnsafeMutablePointer<ArrowSchema>
    let strings: UnsafeMutablePointer<CChar>

    init(format: String, name: String, metadata: [KeyValue], childCount: Int) {
        self.format = Array(format.utf8CString)
        self.name = Array(name.utf8CString)
        self.metadata = Self.encode(metadata)
        children = .allocate(capacity: childCount)
        // One more place than there are children: the dictionary's.
        storage = .allocate(capacity: childCount + 1)
        storage.initialize(repeating: ArrowSchema(), count: childCount + 1)
        for index in 0..<childCount { (children + index).initialize(to: storage + index) }
        let bytes = self.metadata + self.format + self.name
        strings = .allocate(capacity: bytes.count)
        strings.initialize(from: bytes, count: bytes.count)
    }

    deinit {
        children.deallocate()
        storage.deallocate()
        strings.deallocate()
    }

    private static func encode(_ metadata: [KeyValue]) -> [CChar] {
        guard !metadata.isEmpty else { return [] }
        var bytes: [UInt8] = []
        bytes.appendLittle(Int32(metadata.count))
        for pair in metadata {
            bytes.appendLittle(Int32(pair.key.count))
            bytes += pair.key
            bytes.appendLittle(Int32(pair.value.count))
            bytes += pair.value
        }
        return bytes.map { CChar(bitPattern: $0) }
    }
}

private func releaseSchema(_ raw: UnsafeMutablePointer<ArrowSchema>?) {
    guard let raw, raw.pointee.release != nil, let data = raw.pointee.private_data else { return }
    for index in 0..<Int(raw.pointee.n_children) {
        if let child = raw.pointee.children[index], let release = child.pointee.release { release(child) }
    }
    if let dictionary = raw.pointee.dictionary, let release = dictionary.pointee.release { release(dictionary) }
    raw.pointee.release = nil
    Unmanaged<SchemaNode>.fromOpaque(data).release()
}

extension Schema {
    /// Fills `out` with this schema; the receiver releases it.
    func export(to out: UnsafeMutablePointer<ArrowSchema>) {
        Self.export(format: "+s", name: "", metadata: metadata, flags: 0, children: fields, values: nil, to: out)
    }

    private static func export(_ field: Field, to out: UnsafeMutablePointer<ArrowSchema>) {
        var flags: Int32 = field.nullable ? ARROW_FLAG_NULLABLE : 0
        if case .map(keysSorted: true) = field.type { flags |= ARROW_FLAG_MAP_KEYS_SORTED }
        if let dictionary = field.dictionary, dictionary.ordered { flags |= ARROW_FLAG_DICTIONARY_ORDERED }
        export(
            format: field.type.format, name: field.name, metadata: field.metadata, flags: flags,
            children: field.children, values: field.dictionary?.values, to: out)
    }

    private static func export(
        format: String, name: String, metadata: [KeyValue], flags: Int32, children: [Field], values: Field?,
        to out: UnsafeMutablePointer<ArrowSchema>
    ) {
        let node = SchemaNode(format: format, name: name, metadata: metadata, childCount: children.count)
        for (index, child) in children.enumerated() { export(child, to: node.storage + index) }
        var dictionary: UnsafeMutablePointer<ArrowSchema>?
        if let values {
            dictionary = node.storage + children.count
            export(values, to: node.storage + children.count)
        }
        let formatAt = node.strings + node.metadata.count
        out.initialize(
            to: ArrowSchema(
                format: formatAt, name: formatAt + node.format.count,
                metadata: node.metadata.isEmpty ? nil : UnsafePointer(node.strings), flags: Int64(flags),
                n_children: Int64(children.count), children: node.children, dictionary: dictionary,
                release: releaseSchema, private_data: Unmanaged.passRetained(node).toOpaque()))
    }
}
