"""Device fleets: discovery, polling by lease, presets and changes, roll-outs, dashboards.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('collectors',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('discovered_devices',
    sa.Column('mac', sa.Text(), nullable=False),
    sa.Column('ip', sa.Text(), nullable=False),
    sa.Column('hostname', sa.Text(), nullable=True),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('info', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('mac')
    )
    op.create_table('grafana_dashboards',
    sa.Column('uid', sa.Text(), nullable=False),
    sa.Column('device_id', sa.Uuid(), nullable=True),
    sa.Column('digest', sa.Text(), nullable=True),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('public_token', sa.Text(), nullable=True),
    sa.Column('deleting', sa.Boolean(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('uid'),
    sa.UniqueConstraint('device_id')
    )
    op.create_index(op.f('ix_grafana_dashboards_due_at'), 'grafana_dashboards', ['due_at'], unique=False)
    op.create_table('presets',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('configuration', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('demo', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('name')
    )
    op.create_table('rollouts',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('preset_id', sa.Uuid(), nullable=False),
    sa.Column('preset_name', sa.Text(), nullable=False),
    sa.Column('configuration', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('username', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('max_failures', sa.Integer(), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('sent_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('claim', sa.Uuid(), nullable=True),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('rollouts_due', 'rollouts', ['due_at'], unique=False, postgresql_where=sa.text("status = 'running'"))
    op.create_table('configuration_changes',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('device_id', sa.Uuid(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('username', sa.Text(), nullable=False),
    sa.Column('preset_name', sa.Text(), nullable=True),
    sa.Column('run_id', sa.Uuid(), nullable=True),
    sa.Column('reverts', sa.Uuid(), nullable=True),
    sa.Column('changes', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('before', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('differences', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('restarted', sa.Boolean(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['device_id'], ['devices.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('configuration_changes_device', 'configuration_changes', ['device_id', 'id'], unique=False)
    op.create_index(op.f('ix_configuration_changes_device_id'), 'configuration_changes', ['device_id'], unique=False)
    op.create_table('rollout_devices',
    sa.Column('rollout_id', sa.Uuid(), nullable=False),
    sa.Column('device_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('change_id', sa.Uuid(), nullable=True),
    sa.Column('before', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['device_id'], ['devices.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['rollout_id'], ['rollouts.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('rollout_id', 'device_id')
    )
    op.create_index('rollout_devices_device', 'rollout_devices', ['device_id', 'rollout_id'], unique=False)
    op.add_column('devices', sa.Column('info_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('devices', sa.Column('forget_before', sa.DateTime(timezone=True), nullable=True))
    op.add_column('devices', sa.Column('log_listening', sa.Boolean(), nullable=False, server_default='false'))
    op.add_column('devices', sa.Column('poll_interval_s', sa.Float(), nullable=True))
    firmware = sa.Computed("(info ->> 'version'::text)", persisted=True)
    op.add_column('devices', sa.Column('firmware', sa.Text(), firmware, nullable=True))
    model = sa.Computed("COALESCE((info ->> 'deviceModel'::text), (info ->> 'ASICModel'::text))", persisted=True)
    op.add_column('devices', sa.Column('model', sa.Text(), model, nullable=True))
    op.add_column('run_devices', sa.Column('restore', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.add_column('run_devices', sa.Column('stage', sa.Integer(), nullable=False, server_default='0'))
    op.alter_column('run_devices', 'stage', server_default=None)
    op.add_column('runs', sa.Column('presets', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.add_column('runs', sa.Column('stage', sa.Integer(), nullable=False, server_default='0'))
    op.alter_column('devices', 'log_listening', server_default=None)
    op.alter_column('runs', 'stage', server_default=None)
    op.add_column('runs', sa.Column('stage_began', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('runs', 'presets')
    op.drop_column('run_devices', 'stage')
    op.drop_column('runs', 'stage_began')
    op.drop_column('runs', 'stage')
    op.drop_column('run_devices', 'restore')
    op.drop_column('devices', 'model')
    op.drop_column('devices', 'firmware')
    op.drop_column('devices', 'poll_interval_s')
    op.drop_column('devices', 'log_listening')
    op.drop_column('devices', 'forget_before')
    op.drop_column('devices', 'info_at')
    op.drop_index('rollout_devices_device', table_name='rollout_devices')
    op.drop_table('rollout_devices')
    op.drop_index(op.f('ix_configuration_changes_device_id'), table_name='configuration_changes')
    op.drop_index('configuration_changes_device', table_name='configuration_changes')
    op.drop_table('configuration_changes')
    op.drop_index('rollouts_due', table_name='rollouts', postgresql_where=sa.text("status = 'running'"))
    op.drop_table('rollouts')
    op.drop_table('presets')
    op.drop_index(op.f('ix_grafana_dashboards_due_at'), table_name='grafana_dashboards')
    op.drop_table('grafana_dashboards')
    op.drop_table('discovered_devices')
    op.drop_table('collectors')
