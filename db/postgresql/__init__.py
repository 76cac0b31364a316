"""What only PostgreSQL needs: how to connect, and what its errors mean."""
