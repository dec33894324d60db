"""Holes in a device's sequence numbers.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        'presence',
        sa.Column(
            'gaps',
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=False,
            server_default='[]',
        ),
    )
    op.alter_column('presence', 'gaps', server_default=None)


def downgrade() -> None:
    op.drop_column('presence', 'gaps')
