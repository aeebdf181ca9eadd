print("zerrow")
