"""Read-only queries in GraphQL: schema.graphql has the types, whose fields are called as in the
native API. Only `engine` and what it imports need graphql-core, which is imported with the first
query. Nothing here asks the database: resolvers call services.
"""
